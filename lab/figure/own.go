package figure

import "reflect"

// own returns a copy of plain data that shares no slice with it: a figure shows
// what was given when it was drawn, though it is written later.
func own[T any](v T) T {
	out := reflect.New(reflect.TypeFor[T]()).Elem()
	out.Set(copied(reflect.ValueOf(&v).Elem()))
	return out.Interface().(T)
}

func copied(v reflect.Value) reflect.Value {
	switch v.Kind() {
	case reflect.Slice:
		if v.IsNil() {
			return v
		}
		out := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		switch v.Type().Elem().Kind() {
		case reflect.Slice, reflect.Struct:
			for k := range v.Len() {
				out.Index(k).Set(copied(v.Index(k)))
			}
		default:
			reflect.Copy(out, v)
		}
		return out
	case reflect.Struct:
		out := reflect.New(v.Type()).Elem()
		for k := range v.NumField() {
			out.Field(k).Set(copied(v.Field(k)))
		}
		return out
	}
	return v
}
