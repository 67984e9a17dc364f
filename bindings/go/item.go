package bmemc

import "time"

// Item is a key with its value: what is stored, and what a read returns.
type Item struct {
	// Key has 1 to 250 bytes; over the text and meta protocols without spaces and control characters.
	Key string
	// Value is read while a call lasts and not kept. What a read returns is the caller's; values of one [Client.GetMulti]
	// may share memory.
	Value []byte
	// Flags are any number, which comes back with the value. Where the client has a codec (Options.Codec) it makes them of
	// Type, and what is given here does not count; use [Client.Do] with
	// [FlagExplicitFlags] where it must.
	Flags uint32
	// Type is what the value is, for the client's codec.
	Type ValueType
	// TTL is how long the item lives: zero until it is evicted, negative not at all; rounded up to whole seconds. After a
	// read it is zero unless it was asked for.
	TTL time.Duration
	// CAS is the item's version as [Client.Gets] returned it.
	CAS uint64
	// Bits tell more after a read, such as [BitStale].
	Bits Bits
}

// item is the item of an answer to a single get. A small value, which is the call's still, is copied into the memory of
// the item: one allocation, and the value keeps no more alive than that.
func (a *Answer) item(key string) *Item {
	var item *Item
	var room []byte
	switch size := len(a.Value); {
	case size <= 56:
		in := new(struct {
			Item
			room [56]byte
		})
		item, room = &in.Item, in.room[:]
	case size <= 120:
		in := new(struct {
			Item
			room [120]byte
		})
		item, room = &in.Item, in.room[:]
	case size <= 248:
		in := new(struct {
			Item
			room [248]byte
		})
		item, room = &in.Item, in.room[:]
	case size <= keptValue:
		in := new(struct {
			Item
			room [keptValue]byte
		})
		item, room = &in.Item, in.room[:]
	default:
		item = new(Item)
		a.fill(item, key, a.Value)
		return item
	}
	size := copy(room, a.Value)
	a.fill(item, key, room[:size:size])
	return item
}

// fill writes an item with what an answer says.
func (a *Answer) fill(item *Item, key string, value []byte) {
	item.Key, item.Value = key, value
	item.Flags, item.Type, item.TTL, item.CAS, item.Bits = a.Flags, a.Type, a.TTL, a.CAS, a.Bits
}

// storing is the operation that stores an item.
func (c *Client) storing(opcode Opcode, i *Item) Op {
	op := Op{Opcode: opcode, Key: i.Key, Value: i.Value, Flags: i.Flags, Type: i.Type, TTL: i.TTL}
	if c != nil && c.makesFlags {
		op.Flags = 0
	}
	return op
}
