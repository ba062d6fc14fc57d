package main

/*
#cgo LDFLAGS: -ldl
#include <dlfcn.h>
#include <stdlib.h>

// What tl2cgen's trees take: a number, or -1 in missing.
union entry { int missing; double value; };
typedef void (*predictor)(union entry *, int, double *);
static void predict(void *f, double *row, double *out) { ((predictor)f)((union entry *)row, 0, out); }
*/
import "C"

import (
	"errors"
	"strconv"
	"unsafe"
)

// compiled are trees of so many inputs that tl2cgen made a shared library of.
func compiled(library, inputs string) (func([]float64) error, int, error) {
	width, err := strconv.Atoi(inputs)
	if err != nil {
		return nil, 0, err
	}
	name, symbol := C.CString(library), C.CString("predict")
	defer C.free(unsafe.Pointer(name))
	defer C.free(unsafe.Pointer(symbol))
	handle := C.dlopen(name, C.RTLD_NOW)
	if handle == nil {
		return nil, 0, errors.New(C.GoString(C.dlerror()))
	}
	f := C.dlsym(handle, symbol)
	if f == nil {
		return nil, 0, errors.New(library + " has no function predict")
	}
	out := make([]float64, 64) // more than there are
	return func(row []float64) error {
		C.predict(f, (*C.double)(&row[0]), (*C.double)(&out[0]))
		return nil
	}, width, nil
}
