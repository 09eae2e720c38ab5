// Command hello stands for the product's binaries in the tests.
package main

import "os"

func main() { os.Stdout.WriteString("hello\n") }
