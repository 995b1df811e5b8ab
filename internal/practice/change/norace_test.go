//go:build !race

package change

const underRace = false
