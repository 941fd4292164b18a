// SPDX-License-Identifier: Apache-2.0

// Package quality tidies records and checks them: cleansing first, then validation, and likeness of texts for finding
// duplicates. What fails a check is not taken in; it waits for a person, with the field and the rule named.
package quality
