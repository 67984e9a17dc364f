package bmemc

import (
	"context"
	"fmt"
	"reflect"
	"strconv"
	"time"
)

// codec makes bytes of objects and objects of bytes.
type codec struct {
	marshal   func(any) ([]byte, error)
	unmarshal func([]byte, any) error
}

// GetValue reads a value that [SetValue] stored, or another client of the same codec: bytes and strings as they are,
// numbers from decimal digits, all else by [Options.Unmarshal]. [ErrNotFound]: a miss. [ErrDecode]: it is something else.
func GetValue[T any](ctx context.Context, c *Client, key string) (T, error) {
	var value T
	item, err := c.Get(ctx, key)
	if err != nil {
		return value, err
	}
	if err := c.codec.decode(item, &value); err != nil {
		failed := &Error{Status: ErrDecode, Message: fmt.Sprintf("the value is no %T: %v", value, err), cause: err}
		return value, failed.about(OpGet, key)
	}
	return value, nil
}

// GetValueOr is [GetValue], but a miss is answered with `other`. A failure is still an error, and so is a value that is
// something else.
func GetValueOr[T any](ctx context.Context, c *Client, key string, other T) (T, error) {
	read := func(ctx context.Context, key string) (T, error) { return GetValue[T](ctx, c, key) }
	return orOther(read, ctx, key, other)
}

// SetValue stores a value for ttl, as [Item.TTL] has it. [ErrArgument]: [Options.Marshal] refuses it.
func SetValue[T any](ctx context.Context, c *Client, key string, value T, ttl time.Duration) error {
	if c == nil || c.engine == nil {
		return noClient().about(OpSet, key)
	}
	op := Op{Opcode: OpSet, Key: key, TTL: ttl}
	var err error
	if op.Value, op.Type, err = c.codec.encode(value); err != nil {
		failed := refused("a %T cannot be stored: %v", value, err)
		failed.cause = err
		return failed.about(OpSet, key)
	}
	return c.run(ctx, &op)
}

func (c *codec) encode(value any) ([]byte, ValueType, error) {
	switch value := value.(type) {
	case []byte:
		return value, TypeBytes, nil
	case string:
		return []byte(value), TypeText, nil
	}
	switch v := reflect.ValueOf(value); {
	case v.CanInt() && isPlain(v.Type()):
		return strconv.AppendInt(nil, v.Int(), 10), TypeInteger, nil
	case v.CanUint() && isPlain(v.Type()):
		return strconv.AppendUint(nil, v.Uint(), 10), TypeInteger, nil
	}
	bytes, err := c.marshal(value)
	return bytes, TypeObject, err
}

func (c *codec) decode(item *Item, into any) error {
	switch into := into.(type) {
	case *[]byte:
		*into = item.Value
		return nil
	case *string:
		*into = string(item.Value)
		return nil
	case *any:
		return c.decodeAny(item, into)
	}
	switch v := reflect.ValueOf(into).Elem(); {
	case v.CanInt() && isPlain(v.Type()):
		number, err := strconv.ParseInt(string(item.Value), 10, v.Type().Bits())
		v.SetInt(number)
		return err
	case v.CanUint() && isPlain(v.Type()):
		number, err := strconv.ParseUint(string(item.Value), 10, v.Type().Bits())
		v.SetUint(number)
		return err
	}
	return c.unmarshal(item.Value, into)
}

// decodeAny makes what the type of the value says.
func (c *codec) decodeAny(item *Item, into *any) (err error) {
	switch item.Type {
	case TypeText:
		*into = string(item.Value)
	case TypeInteger, TypeLong:
		*into, err = strconv.ParseInt(string(item.Value), 10, 64)
	case TypeObject:
		err = c.unmarshal(item.Value, into)
	default:
		*into = item.Value
	}
	return err
}

// isPlain says whether a type is one of Go's own: others may have a notation of theirs.
func isPlain(t reflect.Type) bool { return t.PkgPath() == "" }
