// SPDX-License-Identifier: Apache-2.0

// Package web is the dashboard: its pages and what each of them needs to know.
//
// A page is a template and a view: OverviewPage(OverviewView{...}). The views are plain: text, numbers, times and
// addresses. Parts of a page that change while it is open are templates of their own (ServiceTopology, ServiceFeed);
// they ask for themselves again when the live stream says that something moved, at the address written in them, so a
// handler serves the page and each of its parts from the same view.
package web
