package field

import (
	"fmt"
	"io"
	"log/slog"
)

// shown is what any field looks like in print.
const shown = "[sealed]"

// Format implements [fmt.Formatter]: every verb prints "[sealed]", whatever the field
// holds, NULL included. %T and %p, for which fmt does not ask, print no value.
func (s Sealed[T]) Format(f fmt.State, verb rune) { io.WriteString(f, shown) }

// String implements [fmt.Stringer]: it returns "[sealed]".
func (s Sealed[T]) String() string { return shown }

// LogValue implements [slog.LogValuer]: it is "[sealed]".
func (s Sealed[T]) LogValue() slog.Value { return slog.StringValue(shown) }
