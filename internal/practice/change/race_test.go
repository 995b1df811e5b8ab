//go:build race

package change

// underRace: programs are several times slower, and these are not about races.
const underRace = true
