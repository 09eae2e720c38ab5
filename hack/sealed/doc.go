// Command sealed runs a program that may start no other program: the kernel kills the program
// with SIGSYS, "bad system call", when it does. `hack/unit.sh -sealed` gives it to go test
// -exec, and so proves that the tests of `make unit` need nothing but Go.
//
//	sealed PROGRAM [ARGUMENT…]
//
// It needs Linux, on amd64 or arm64. Elsewhere it ends with an error.
package main
