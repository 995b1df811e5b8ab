// Package owner names controlling owners.
package owner

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// Reference is an ownerReference to an object that controls another. Foreground deletion does not wait for what is
// owned: nothing that we make may keep what a user deletes.
func Reference(gvk schema.GroupVersionKind, name string, uid types.UID) metav1.OwnerReference {
	yes := true
	return metav1.OwnerReference{APIVersion: gvk.GroupVersion().String(), Kind: gvk.Kind, Name: name, UID: uid, Controller: &yes}
}

// Is reports whether the object is controlled by the one with this UID.
func Is(obj metav1.Object, uid types.UID) bool {
	ref := metav1.GetControllerOfNoCopy(obj)
	return ref != nil && ref.UID == uid && uid != ""
}
