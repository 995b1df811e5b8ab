// Package servicelevel knows what was promised and what was kept: calendars and business time, the health of
// services and how it spreads over dependencies. It is pure.
//
// Zones come from the IANA database through time.LoadLocation. The operator's image has no such files, so the
// programs in cmd import time/tzdata; tests of this package do as well.
package servicelevel
