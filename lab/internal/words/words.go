// Package words shows what another program says in messages of ours.
package words

import "strings"

// Bounded is a text in one line of at most so many bytes, and "..." where it was
// longer.
func Bounded(text string, most int) string {
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "?")), " ")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "..."
	}
	return text
}
