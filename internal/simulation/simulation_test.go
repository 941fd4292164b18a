// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"flag"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var (
	seeds   = flag.Int("seeds", 500, "how many seeds TestSeeds runs")
	first   = flag.Uint64("seed", 1, "the first of them")
	verbose = flag.Bool("story", false, "print the whole run of a seed that fails")
	ran     atomic.Int64
	failed  atomic.Int64
)

func TestMain(m *testing.M) {
	code := m.Run()
	if ran.Load() > 0 {
		fmt.Printf("seeds: %d failed: %d\n", ran.Load(), failed.Load())
	}
	os.Exit(code)
}

// outcome is what a seed came to.
type outcome struct {
	err     error
	trace   uint64
	steps   int
	virtual time.Duration
	story   string
	lines   []string // with -story
}

// play runs a seed in a bubble of its own.
func play(t *testing.T, seed uint64, log *slog.Logger) outcome { return playSpoiled(t, seed, log, nil) }

// playSpoiled runs it with something broken.
func playSpoiled(t *testing.T, seed uint64, log *slog.Logger, spoil func(*Run)) outcome {
	return playScene(t, func() *Run { return newSeed(seed, log) }, spoil)
}

// playScene runs a scenario, with something broken where spoil is given.
func playScene(t *testing.T, scene func() *Run, spoil func(*Run)) (out outcome) {
	defer func() {
		if p := recover(); p != nil {
			out.err = fmt.Errorf("panic: %v", p)
		}
	}()
	synctest.Test(t, func(*testing.T) {
		r := scene()
		r.gate.keep = *verbose
		if spoil != nil {
			spoil(r)
		}
		out.err = r.live()
		out.trace, out.steps, out.virtual = r.gate.trace, r.gate.steps, time.Since(r.gate.began)
		out.lines = r.gate.recent
		if out.err != nil {
			out.story = r.story()
		}
		r.end()
	})
	return out
}

// TestSeeds is the simulation: each seed another customer, other people, other accidents.
func TestSeeds(t *testing.T) {
	playAll(t, *seeds, "make simulate SEEDS=1 SEED=%d", func(t *testing.T, seed uint64) outcome { return play(t, seed, nil) })
}

// playAll plays so many seeds, on all processors; a failing one says how it is replayed.
func playAll(t *testing.T, seeds int, replay string, play func(*testing.T, uint64) outcome) {
	var next atomic.Uint64
	next.Store(*first)
	last := *first + uint64(seeds)
	for range runtime.GOMAXPROCS(0) {
		t.Run("seeds", func(t *testing.T) {
			t.Parallel()
			for {
				seed := next.Add(1) - 1
				if seed >= last {
					return
				}
				out := play(t, seed)
				ran.Add(1)
				if out.err == nil {
					continue
				}
				failed.Add(1)
				t.Errorf("seed %d: %v\n%sreplay: "+replay, seed, out.err, shorten(out.story), seed)
			}
		})
	}
}

func shorten(story string) string {
	lines := strings.SplitAfter(story, "\n")
	if most := 80; !*verbose && len(lines) > most {
		return "(the end of it; -story prints all)\n" + strings.Join(lines[len(lines)-most:], "")
	}
	return story
}

// TestSeedReplays runs seeds twice: the same steps in the same order at the same times.
func TestSeedReplays(t *testing.T) {
	for seed := *first; seed < *first+20; seed++ {
		a, b := play(t, seed, nil), play(t, seed, nil)
		if a.trace != b.trace || a.steps != b.steps {
			t.Errorf("seed %d: %d steps the first time, %d the second, and they are not the same%s", seed, a.steps, b.steps, parting(a.lines, b.lines))
		}
	}
}

// parting is where two runs part; with -story.
func parting(a, b []string) string {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf(":\n%s\n  first:  %s\n  second: %s", strings.Join(a[max(0, i-15):i], "\n"), a[i], b[i])
		}
	}
	return "; -story shows where they part"
}
