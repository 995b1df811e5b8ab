package session

import (
	"context"
	"fmt"
	"slices"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// Identity is who the API server says the user is.
type Identity struct {
	Name   string
	Groups []string
}

// In reports whether the user belongs to a group.
func (i Identity) In(group string) bool { return slices.Contains(i.Groups, group) }

// WhoAmI asks the API server who the user is. What a kubeconfig or a user says is never taken for it.
func (s *Session) WhoAmI(ctx context.Context) (Identity, error) {
	review := &authenticationv1.SelfSubjectReview{}
	if err := s.Create(ctx, review); err != nil {
		return Identity{}, fmt.Errorf("asking the API server who you are: %w", err)
	}
	return Identity{Name: review.Status.UserInfo.Username, Groups: review.Status.UserInfo.Groups}, nil
}

// May asks the API server whether the user holds a verb on a resource of itil.dev; an empty name means any of the
// namespace.
func (s *Session) May(ctx context.Context, verb, resource, namespace, name string) (bool, error) {
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Group: v1alpha1.GroupVersion.Group, Version: v1alpha1.GroupVersion.Version,
			Verb: verb, Resource: resource, Namespace: namespace, Name: name,
		},
	}}
	if err := s.Create(ctx, review); err != nil {
		return false, fmt.Errorf("asking the API server what you may do: %w", err)
	}
	return review.Status.Allowed, nil
}
