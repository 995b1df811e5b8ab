package incident

import "github.com/itil-dev/itil-operator/api/v1alpha1"

// impactOf is by the real health of the service. Redundancy that is lost without users noticing, and workloads that no
// service claims, are low.
func impactOf(health v1alpha1.Health) v1alpha1.Level {
	switch health {
	case v1alpha1.HealthOutage:
		return v1alpha1.LevelHigh
	case v1alpha1.HealthDegraded:
		return v1alpha1.LevelMedium
	case v1alpha1.HealthOperational, v1alpha1.HealthMaintenance, v1alpha1.HealthUnknown:
		return v1alpha1.LevelLow
	default:
		return v1alpha1.LevelLow
	}
}

// urgencyOf is by the tier of the service; 0 is none.
func urgencyOf(tier int32) v1alpha1.Level {
	switch tier {
	case 1:
		return v1alpha1.LevelHigh
	case 2:
		return v1alpha1.LevelMedium
	default:
		return v1alpha1.LevelLow
	}
}

// PriorityOf is the matrix of impact and urgency.
func PriorityOf(impact, urgency v1alpha1.Level) v1alpha1.Priority {
	priorities := [...]v1alpha1.Priority{
		v1alpha1.PriorityP1, v1alpha1.PriorityP2, v1alpha1.PriorityP3, v1alpha1.PriorityP4, v1alpha1.PriorityP5,
	}
	return priorities[distance(impact)+distance(urgency)]
}

// distance of a level from the greatest.
func distance(l v1alpha1.Level) int {
	switch l {
	case v1alpha1.LevelHigh:
		return 0
	case v1alpha1.LevelMedium:
		return 1
	case v1alpha1.LevelLow:
		return 2
	default:
		return 2
	}
}

// greater is the greater of two levels; an empty one is less than any.
func greater(a, b v1alpha1.Level) v1alpha1.Level {
	if a == "" || b != "" && distance(b) < distance(a) {
		return b
	}
	return a
}
