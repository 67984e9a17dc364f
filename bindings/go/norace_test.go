//go:build !race

package bmemc_test

const raceEnabled = false
