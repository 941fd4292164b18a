// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"net/mail"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/syncline-dev/syncline/internal/fault"
)

// User is a person who can sign in.
type User struct {
	ID        UserID
	Email     string // as the person wrote it; compared without regard to case
	Name      string
	CreatedAt time.Time
}

// Limits of what people write about themselves, in characters, but for the password's greatest length in bytes.
const (
	maxName     = 100
	maxEmail    = 254
	minPassword = 10
	maxPassword = 1024
)

// tidyEmail checks an e-mail address and takes the space around it away.
func tidyEmail(s string) (string, []fault.Field) {
	s = strings.TrimSpace(s)
	a, err := mail.ParseAddress(s)
	_, domain, _ := strings.Cut(s, "@")
	if err != nil || a.Address != s || a.Name != "" || len(s) > maxEmail || !strings.Contains(strings.Trim(domain, "."), ".") && domain != "localhost" || hasControl(s) {
		return s, []fault.Field{{Pointer: "/email", Code: "auth.email_malformed", Message: "This is not an e-mail address.", Remedy: "Write it like ada@example.com."}}
	}
	return s, nil
}

// tidyName checks a name of a person, a tenant or a key.
func tidyName(s, pointer string) (string, []fault.Field) {
	s = strings.Join(strings.Fields(s), " ")
	switch {
	case s == "":
		return s, []fault.Field{{Pointer: pointer, Code: "auth.name_malformed", Message: "The name is missing.", Remedy: "Write a name."}}
	case utf8.RuneCountInString(s) > maxName || !utf8.ValidString(s) || hasControl(s):
		return s, []fault.Field{{Pointer: pointer, Code: "auth.name_malformed", Message: "The name is too long or holds characters that cannot be shown.", Remedy: "Write at most 100 letters."}}
	}
	return s, nil
}

func hasControl(s string) bool { return strings.ContainsFunc(s, unicode.IsControl) }

// checkPassword refuses passwords that are guessed first: short ones, and those made of what everybody knows about the
// person. There are no rules about kinds of characters (NIST SP 800-63B, 3.1.1.2).
func checkPassword(password, email, pointer string) []fault.Field {
	weak := func(message string) []fault.Field {
		return []fault.Field{{Pointer: pointer, Code: "auth.password_weak", Message: message, Remedy: "Take a few random words, or let a password manager choose."}}
	}
	lower := strings.ToLower(password)
	local, _, _ := strings.Cut(strings.ToLower(email), "@")
	distinct := map[rune]bool{}
	for _, r := range lower {
		distinct[r] = true
	}
	switch {
	case utf8.RuneCountInString(password) < minPassword:
		return weak("The password is shorter than 10 characters.")
	case len(password) > maxPassword:
		return weak("The password is longer than 1024 bytes.")
	case lower == strings.ToLower(email) || strings.Trim(lower, "0123456789!.@") == local && local != "":
		return weak("The password is the e-mail address or its first part.")
	case len(distinct) < 4 || strings.Contains("0123456789012345678909876543210987654321qwertyuiopasdfghjklzxcvbnmabcdefghijklmnopqrstuvwxyz", lower):
		return weak("The password is a repetition or a row of keys.")
	case common[strings.Trim(lower, "0123456789!.@#$ ")]:
		return weak("The password is a common word with something added.")
	}
	return nil
}

// The words that lead the lists of stolen passwords, once what people add to them is taken away.
var common = map[string]bool{
	"password": true, "passwort": true, "passw0rd": true, "p@ssw0rd": true, "letmein": true, "welcome": true, "admin": true,
	"administrator": true, "iloveyou": true, "sunshine": true, "princess": true, "football": true, "baseball": true, "dragon": true,
	"monkey": true, "superman": true, "batman": true, "trustno": true, "qwerty": true, "qwertyuiop": true, "changeme": true,
	"secret": true, "default": true, "syncline": true, "test": true, "abc": true, "passwordpassword": true, "hunter": true,
}

// invalid is the fault for input that people are to correct, or nil when there is nothing to correct.
func invalid(fields ...[]fault.Field) error {
	var all []fault.Field
	for _, f := range fields {
		all = append(all, f...)
	}
	if len(all) == 0 {
		return nil
	}
	messages := make([]string, len(all))
	for i, f := range all {
		messages[i] = f.Message
	}
	return fault.New(fault.Invalid, "auth.input_invalid", "%s", strings.Join(messages, " ")).At(all...)
}
