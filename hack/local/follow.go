package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// follow writes a line whenever a Service, an Incident or a Change becomes something else, until Ctrl-C.
func (c *cluster) follow(ctx context.Context, out io.Writer) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	f := &follower{console: newConsole(out), said: map[string]string{}}
	events := make(chan watch.Event)
	for _, list := range []client.ObjectList{&v1alpha1.ServiceList{}, &v1alpha1.IncidentList{}, &v1alpha1.ChangeList{}} {
		go forward(ctx, api, list, events)
	}
	f.console.printf("\nWhat happens now, until Ctrl-C (the operator's log: %s):\n", c.logPath(operatorName))
	for {
		select {
		case event := <-events:
			f.tell(event)
		case <-ctx.Done():
			c.say("\nThe cluster goes on. Stop it with: make down")
			return nil
		}
	}
}

// forward watches one kind, again and again: a watch ends after some minutes, and while the API server is away.
func forward(ctx context.Context, api client.WithWatch, list client.ObjectList, events chan<- watch.Event) {
	for ctx.Err() == nil {
		watcher, err := api.Watch(ctx, list)
		if err == nil {
			for event := range watcher.ResultChan() {
				select {
				case events <- event:
				case <-ctx.Done():
				}
			}
		}
		if err := pause(ctx, time.Second); err != nil {
			return
		}
	}
}

// follower remembers what it said of each object, to say only what is new.
type follower struct {
	console *console
	said    map[string]string
}

func (f *follower) tell(event watch.Event) {
	object, isObject := event.Object.(client.Object)
	if !isObject {
		return
	}
	name := fmt.Sprintf("%T %s/%s", object, object.GetNamespace(), object.GetName())
	text, style := describe(object)
	if event.Type == watch.Deleted {
		text, style = "deleted", dim
	}
	if text == "" || f.said[name] == text {
		return
	}
	f.said[name] = text
	f.console.printf("%s  %-9s %-40s %s\n", f.console.in(dim, time.Now().Format(time.TimeOnly)), kindOf(object),
		object.GetNamespace()+"/"+object.GetName(), f.console.in(style, text))
}

func kindOf(object client.Object) string {
	switch object.(type) {
	case *v1alpha1.Service:
		return "Service"
	case *v1alpha1.Incident:
		return "Incident"
	default:
		return "Change"
	}
}

// describe says what a reader would act on; nothing while the operator has not looked at the object.
func describe(object client.Object) (text string, s style) {
	switch o := object.(type) {
	case *v1alpha1.Service:
		if o.Status.Health == "" {
			return "", ""
		}
		return fmt.Sprintf("%s, %s ready", o.Status.Health, o.Status.Ready), colourOf(o.Status.Health == v1alpha1.HealthOperational)
	case *v1alpha1.Incident:
		if o.Status.State == "" {
			return "", ""
		}
		over := o.Status.State == v1alpha1.IncidentResolved || o.Status.State == v1alpha1.IncidentClosed
		return fmt.Sprintf("%s, %s %s: %s", o.Status.State, o.Status.Priority, o.Status.Reason, o.Spec.Title), colourOf(over)
	case *v1alpha1.Change:
		if o.Status.State == "" {
			return "", ""
		}
		text := fmt.Sprintf("%s: %s", o.Status.State, o.Spec.Summary)
		if o.Status.Approvals != nil {
			text = fmt.Sprintf("%s, approvals %s: %s", o.Status.State, o.Status.Approvals.Summary, o.Spec.Summary)
		}
		return text, ""
	}
	return "", ""
}

func colourOf(well bool) style {
	if well {
		return green
	}
	return red
}
