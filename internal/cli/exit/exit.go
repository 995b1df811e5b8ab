// Package exit says how a command ended, for scripts (a code) and for people (what is wrong, and the next step).
package exit

import (
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	utilnet "k8s.io/apimachinery/pkg/util/net"
)

// Code is the exit code of the process. Codes are a contract: docs/kubectl-itil.md lists them.
type Code int

const (
	// OK: done, or nothing had to be done.
	OK Code = 0
	// Failed: the cluster could not be asked, or refused for a reason that has no code of its own.
	Failed Code = 1
	// Usage: the command line is wrong. Nothing was sent.
	Usage Code = 2
	// NotPermitted: the user may not do this (RBAC or an admission policy).
	NotPermitted Code = 3
	// NotFound: there is no such object, or itil-operator is not installed.
	NotFound Code = 4
	// WrongState: the object is not in a state in which this can be done, or was changed meanwhile.
	WrongState Code = 5
	// NotConfirmed: the user said no, or nobody was there to be asked.
	NotConfirmed Code = 6
	// WouldBeDenied: the gate would refuse what was asked about.
	WouldBeDenied Code = 7
)

// Error is a failure with a code and, where there is one, a next step.
type Error struct {
	Code Code
	// Message says what is wrong, with the names of the objects.
	Message string
	// Next says what the user should do; empty where there is nothing to do.
	Next string
	// Cause is the error behind it; nil where it was found here.
	Cause error
}

// Error is the message alone; the next step is shown on a line of its own.
func (e *Error) Error() string { return e.Message }

// Unwrap is the error behind it.
func (e *Error) Unwrap() error { return e.Cause }

// New is a failure with a code and a message.
func New(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// WithNext adds the next step.
func (e *Error) WithNext(format string, args ...any) *Error {
	e.Next = fmt.Sprintf(format, args...)
	return e
}

// WithCause adds the error behind it.
func (e *Error) WithCause(cause error) *Error {
	e.Cause = cause
	return e
}

// CodeOf is the exit code for an error; OK for nil.
func CodeOf(err error) Code {
	if err == nil {
		return OK
	}
	if failure, ok := errors.AsType[*Error](err); ok {
		return failure.Code
	}
	switch {
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
		return NotPermitted
	case apierrors.IsNotFound(err), meta.IsNoMatchError(err):
		return NotFound
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
		return WrongState
	default:
		return Failed
	}
}

// NextOf is the next step of an error; empty where it names none.
func NextOf(err error) string {
	if failure, ok := errors.AsType[*Error](err); ok && failure.Next != "" {
		return failure.Next
	}
	switch {
	case apierrors.IsUnauthorized(err):
		return "log in again, and see who you are: kubectl auth whoami"
	case meta.IsNoMatchError(err):
		return "itil-operator is not installed on this cluster, or you look at another one: kubectl config current-context"
	case utilnet.IsConnectionRefused(err), utilnet.IsTimeout(err), utilnet.IsNoRoutesError(err):
		return "the cluster does not answer; see which one you mean: kubectl config view --minify"
	default:
		return ""
	}
}
