module github.com/libbmemc/bmemc/examples

go 1.24

require github.com/libbmemc/bmemc v0.0.0

replace github.com/libbmemc/bmemc => ../../bindings/go
