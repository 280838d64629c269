package main
import ("fmt";"os";"maps";"slices")
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
func main() {
	all, err := readSpec(os.Args[1], "167041bbc054173e2c008e66bf2f5f424a8f3fe2")
	if err != nil { panic(err) }
	f := ""; a := ""
	n := 0
	for _, r := range all {
		if r.file != f { f = r.file; fmt.Println("=====", f); n = 0; a="" }
		if r.anchor != a { a = r.anchor; fmt.Println("##", a) }
		n++
		if len(os.Args) > 2 { fmt.Println(r.file, n, r.anchor, r.level, r.id) } else {
		fmt.Printf("%d %s %s\n", n, r.level, r.text)}
	}
}
