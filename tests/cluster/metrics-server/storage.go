package main

import (
	"context"
	"sort"

	"k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/metrics/pkg/apis/metrics"
)

// storage serves the objects of one kind, to be read only, in the order of their namespaces and names.
type storage struct {
	rest.TableConvertor
	kind       string
	resource   schema.GroupResource
	namespaced bool
	newObject  func() runtime.Object
	newList    func() runtime.Object
	objects    []object
}

// object is a PodMetrics or a NodeMetrics.
type object interface {
	runtime.Object
	metav1.Object
}

var (
	_ rest.Lister       = &storage{}
	_ rest.Getter       = &storage{}
	_ rest.Scoper       = &storage{}
	_ rest.KindProvider = &storage{}
)

func newPodStorage(objects []object) *storage {
	return newStorage(storage{
		kind:       "PodMetrics",
		resource:   metrics.Resource("pods"),
		namespaced: true,
		newObject:  func() runtime.Object { return &metrics.PodMetrics{} },
		newList:    func() runtime.Object { return &metrics.PodMetricsList{} },
		objects:    objects,
	})
}

func newNodeStorage(objects []object) *storage {
	return newStorage(storage{
		kind:      "NodeMetrics",
		resource:  metrics.Resource("nodes"),
		newObject: func() runtime.Object { return &metrics.NodeMetrics{} },
		newList:   func() runtime.Object { return &metrics.NodeMetricsList{} },
		objects:   objects,
	})
}

func newStorage(it storage) *storage {
	it.TableConvertor = rest.NewDefaultTableConvertor(it.resource)
	sort.Slice(it.objects, func(a, b int) bool {
		one, other := it.objects[a], it.objects[b]
		if one.GetNamespace() != other.GetNamespace() {
			return one.GetNamespace() < other.GetNamespace()
		}
		return one.GetName() < other.GetName()
	})
	return &it
}

func (it *storage) New() runtime.Object     { return it.newObject() }
func (it *storage) NewList() runtime.Object { return it.newList() }
func (it *storage) Kind() string            { return it.kind }
func (it *storage) NamespaceScoped() bool   { return it.namespaced }

// List answers in one piece, whatever limit the options have: so does metrics-server.
func (it *storage) List(ctx context.Context, options *internalversion.ListOptions) (runtime.Object, error) {
	namespace := request.NamespaceValue(ctx)
	now := metav1.Now()
	selected := []runtime.Object{}
	for _, object := range it.objects {
		if (namespace == "" || object.GetNamespace() == namespace) && matches(object, options) {
			selected = append(selected, answer(object, now))
		}
	}
	list := it.newList()
	return list, meta.SetList(list, selected)
}

func (it *storage) Get(ctx context.Context, name string, _ *metav1.GetOptions) (runtime.Object, error) {
	namespace := request.NamespaceValue(ctx)
	for _, object := range it.objects {
		if object.GetNamespace() == namespace && object.GetName() == name {
			return answer(object, metav1.Now()), nil
		}
	}
	return nil, errors.NewNotFound(it.resource, name)
}

// answer is the object as it is sent: made at this moment, as each one of metrics-server is.
func answer(kept object, now metav1.Time) runtime.Object {
	sent := kept.DeepCopyObject().(object)
	sent.SetCreationTimestamp(now)
	return sent
}

func matches(object object, options *internalversion.ListOptions) bool {
	if options == nil {
		return true
	}
	if options.LabelSelector != nil && !options.LabelSelector.Matches(labels.Set(object.GetLabels())) {
		return false
	}
	return options.FieldSelector == nil || options.FieldSelector.Matches(fields.Set{
		"metadata.name":      object.GetName(),
		"metadata.namespace": object.GetNamespace(),
	})
}
