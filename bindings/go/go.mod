module github.com/libbmemc/bmemc

go 1.24
