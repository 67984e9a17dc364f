//go:build !bmemc_static

package bmemc

// #cgo pkg-config: bmemc
import "C"
