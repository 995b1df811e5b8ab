// Package output is the flag -o: a table for people, or objects for programs, as kubectl prints them.
package output

import (
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/internal/cli/exit"
)

const (
	wide = "wide"
	name = "name"
)

// Flags are -o and what belongs to it.
type Flags struct {
	scheme *runtime.Scheme
	kube   *genericclioptions.PrintFlags
	// tables: the command has a table, which is the default, and a wide one.
	tables bool
	format string
}

// ForList are the flags of a command that shows objects: a table, or what -o says.
func ForList(scheme *runtime.Scheme) *Flags {
	return &Flags{scheme: scheme, tables: true, kube: genericclioptions.NewPrintFlags("").WithTypeSetter(scheme)}
}

// ForWrite are the flags of a command that writes an object: a sentence, or the object as -o says. The name is
// printed with the operation: "created", for example.
func ForWrite(scheme *runtime.Scheme) *Flags {
	return &Flags{scheme: scheme, kube: genericclioptions.NewPrintFlags("").WithTypeSetter(scheme)}
}

// AddTo adds the flags to a command.
func (f *Flags) AddTo(cmd *cobra.Command) {
	f.kube.JSONYamlPrintFlags.AddFlags(cmd)
	f.kube.TemplatePrinterFlags.AddFlags(cmd)
	cmd.Flags().StringVarP(&f.format, "output", "o", "", "Output format. One of: ("+strings.Join(f.formats(), ", ")+").")
	f.kube.OutputFormat = &f.format
	f.kube.OutputFlagSpecified = func() bool { return cmd.Flags().Changed("output") }
	// It fails only where there is no such flag.
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(toCompletions(f.formats()), cobra.ShellCompDirectiveNoFileComp))
}

func toCompletions(values []string) []cobra.Completion { return slices.Clone(values) }

func (f *Flags) formats() []string {
	formats := f.kube.AllowedFormats()
	if f.tables {
		formats = append([]string{wide}, formats...)
	}
	return slices.Compact(formats)
}

// Wide reports whether the table shall have more columns.
func (f *Flags) Wide() bool { return f.tables && f.format == wide }

// ForPeople reports whether a table or a sentence is wanted, and not objects.
func (f *Flags) ForPeople() bool {
	return f.Wide() || f.format == "" && *f.kube.TemplatePrinterFlags.TemplateArgument == ""
}

// Check reports a format that there is not, before anything is asked of the cluster.
func (f *Flags) Check() error {
	if f.ForPeople() {
		return nil
	}
	if _, err := f.kube.ToPrinter(); err != nil {
		return exit.New(exit.Usage, "%s", err).WithNext("give one of: %s", strings.Join(f.formats(), ", "))
	}
	return nil
}

// Object prints one object as -o says.
func (f *Flags) Object(w io.Writer, object client.Object) error {
	if err := f.setKind(object); err != nil {
		return err
	}
	printer, err := f.kube.ToPrinter()
	if err != nil {
		return err
	}
	return printer.PrintObj(object, w)
}

// List prints a list as -o says; names one a line.
func (f *Flags) List(w io.Writer, list client.ObjectList) error {
	printer, err := f.kube.ToPrinter()
	if err != nil {
		return err
	}
	if err := meta.EachListItem(list, f.setKind); err != nil {
		return err
	}
	if f.format == name {
		return meta.EachListItem(list, func(item runtime.Object) error { return printer.PrintObj(item, w) })
	}
	return printer.PrintObj(list, w)
}

// setKind writes apiVersion and kind, which clients drop when they read.
func (f *Flags) setKind(object runtime.Object) error {
	kinds, _, err := f.scheme.ObjectKinds(object)
	if err != nil {
		return err
	}
	object.GetObjectKind().SetGroupVersionKind(kinds[0])
	return nil
}
