package main

import (
	"fmt"
	"os"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: sealed PROGRAM [ARGUMENT…]")
		os.Exit(2)
	}
	fmt.Fprintln(os.Stderr, "sealed:", run(os.Args[1:]))
	os.Exit(1)
}
