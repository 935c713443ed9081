package oplog

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"io"
	"math"

	"github.com/fxamacker/cbor/v2"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

// Everything is CBOR in the core deterministic encoding of RFC 8949 section 4.2.1, structures as arrays of fixed length.
var (
	encMode = must(cbor.CoreDetEncOptions().EncMode())
	decMode = must(cbor.DecOptions{
		MaxArrayElements: 1 << 17,
		MaxMapPairs:      16,
		MaxNestedLevels:  16,
		IndefLength:      cbor.IndefLengthForbidden,
		TagsMd:           cbor.TagsForbidden,
		UTF8:             cbor.UTF8DecodeInvalid, // names of files are any bytes; they are byte strings below
	}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func decode(b []byte, v any) error {
	rest, err := decMode.UnmarshalFirst(b, v)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if len(rest) != 0 {
		return fmt.Errorf("%w: %d bytes after the end", ErrFormat, len(rest))
	}
	return nil
}

// kinds of signed slots.
const (
	kindHead = 1
	kindBook = 2
)

type wireSigned struct {
	_    struct{} `cbor:",toarray"`
	Kind uint64
	Body []byte
	Sig  []byte
}

func sign(kind uint64, label string, body []byte, key ed25519.PrivateKey) ([]byte, error) {
	sig := ed25519.Sign(key, append([]byte(label), body...))
	b, err := encMode.Marshal(wireSigned{Kind: kind, Body: body, Sig: sig})
	if err != nil {
		return nil, fmt.Errorf("encode signed slot: %w", err)
	}
	return b, nil
}

func verify(kind uint64, label string, signed []byte, key ed25519.PublicKey) ([]byte, error) {
	if len(signed) > MaxSlot {
		return nil, fmt.Errorf("%w: %d bytes", ErrFormat, len(signed))
	}
	var w wireSigned
	if err := decode(signed, &w); err != nil {
		return nil, err
	}
	if w.Kind != kind {
		return nil, fmt.Errorf("%w: kind %d", ErrFormat, w.Kind)
	}
	if !ed25519.Verify(key, append([]byte(label), w.Body...), w.Sig) {
		return nil, fmt.Errorf("wrong signature: %w", ErrForeign)
	}
	return w.Body, nil
}

// IsBook tells whether the plaintext of a slot is a lease book.
func IsBook(signed []byte) bool {
	var w wireSigned
	return decode(signed, &w) == nil && w.Kind == kindBook
}

type wireHead struct {
	_          struct{} `cbor:",toarray"`
	Version    uint64
	Network    string
	Drive      []byte
	Device     []byte
	Counter    uint64
	Time       int64
	Prev       []byte
	Published  uint64
	Checkpoint []wireCheckpoint // none or one
	Segments   []wireSegment
	Next       uint64
	Tip        []byte
	Parents    []wireParent
}

type wireCheckpoint struct {
	_    struct{} `cbor:",toarray"`
	Rev  uint64
	Blob wireBlob
}

type wireSegment struct {
	_           struct{} `cbor:",toarray"`
	Device      []byte
	First, Last uint64
	Rev         uint64
	Tip         []byte
	Blob        wireBlob
}

type wireParent struct {
	_       struct{} `cbor:",toarray"`
	Device  []byte
	Counter uint64
	Hash    []byte
}

type wireBlob struct {
	_      struct{} `cbor:",toarray"`
	Size   int64
	Hash   []byte
	Copies []wireCopy
	Packs  []wirePack
	List   []wireBlob // none or one
}

type wireCopy struct {
	_     struct{} `cbor:",toarray"`
	ID    []byte
	Lease []byte
	Size  int64
}

type wirePack struct {
	_        struct{} `cbor:",toarray"`
	ID       []byte
	Kind     uint8
	K, M     int
	ShardLen int64
	PlainLen int64
	Header   []byte
	Tail     []byte
	Shards   []wireShard
}

type wireShard struct {
	_     struct{} `cbor:",toarray"`
	ID    []byte
	Lease []byte
}

func toWireHead(h *Head) wireHead {
	w := wireHead{
		Version: 1, Network: h.Drive.Network, Drive: h.Drive.ID[:], Device: h.Device[:], Counter: h.Counter, Time: h.Time,
		Prev: h.Prev[:], Published: uint64(h.Published), Checkpoint: []wireCheckpoint{}, Segments: []wireSegment{}, Parents: []wireParent{},
		Next: h.NextSegment, Tip: h.LastTip[:],
	}
	if c := h.Checkpoint; c != nil {
		w.Checkpoint = append(w.Checkpoint, wireCheckpoint{Rev: uint64(c.Rev), Blob: toWireBlob(&c.Blob)})
	}
	for i := range h.Segments {
		s := &h.Segments[i]
		w.Segments = append(w.Segments, wireSegment{Device: s.Device[:], First: s.First, Last: s.Last, Rev: uint64(s.Rev), Tip: s.Tip[:], Blob: toWireBlob(&s.Blob)})
	}
	for i := range h.Parents {
		p := &h.Parents[i]
		w.Parents = append(w.Parents, wireParent{Device: p.Device[:], Counter: p.Counter, Hash: p.Hash[:]})
	}
	return w
}

func toWireBlob(b *Blob) wireBlob {
	w := wireBlob{Size: b.Size, Hash: b.Hash[:], Copies: []wireCopy{}, Packs: []wirePack{}, List: []wireBlob{}}
	for i := range b.Copies {
		w.Copies = append(w.Copies, wireCopy{ID: b.Copies[i].ID[:], Lease: b.Copies[i].Lease[:], Size: b.Copies[i].Size})
	}
	for i := range b.Packs {
		w.Packs = append(w.Packs, toWirePack(&b.Packs[i]))
	}
	if b.List != nil {
		w.List = append(w.List, toWireBlob(b.List))
	}
	return w
}

func toWirePack(p *model.Pack) wirePack {
	w := wirePack{ID: p.ID[:], Kind: uint8(p.Kind), K: p.K, M: p.M, ShardLen: p.ShardLen, PlainLen: p.PlainLen, Header: nonNil(p.Header), Tail: nonNil(p.Tail)}
	w.Shards = make([]wireShard, len(p.Shards))
	for i := range p.Shards {
		w.Shards[i] = wireShard{ID: p.Shards[i].ID[:], Lease: p.Shards[i].Lease[:]}
	}
	return w
}

func nonNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// fixed copies a byte string of known length and notes the first that doesn't fit.
type fixed struct{ err error }

func (f *fixed) copy(what string, dst, src []byte) {
	if len(src) != len(dst) {
		f.fail("%s has %d bytes", what, len(src))
		return
	}
	copy(dst, src)
}

func (f *fixed) fail(format string, a ...any) {
	if f.err == nil {
		f.err = fmt.Errorf("%w: "+format, append([]any{ErrFormat}, a...)...)
	}
}

func (f *fixed) rev(v uint64) model.Rev {
	if v > uint64(model.MaxRev) {
		f.fail("revision %d", v)
	}
	return model.Rev(v)
}

func (f *fixed) length(what string, n int64) int64 {
	if n < 0 || n > math.MaxInt64>>8 {
		f.fail("%s is %d", what, n)
	}
	return n
}

func (w *wireHead) head() (*Head, error) {
	var f fixed
	if w.Version != 1 {
		f.fail("head of version %d: a newer version of this program wrote it", w.Version)
	}
	h := &Head{Counter: w.Counter, Time: w.Time, Published: f.rev(w.Published), NextSegment: w.Next}
	f.copy("tip", h.LastTip[:], w.Tip)
	h.Drive.Network = w.Network
	f.copy("drive", h.Drive.ID[:], w.Drive)
	f.copy("device", h.Device[:], w.Device)
	f.copy("previous head", h.Prev[:], w.Prev)
	if len(w.Checkpoint) > 1 {
		f.fail("%d checkpoints", len(w.Checkpoint))
	}
	for i := range w.Checkpoint {
		h.Checkpoint = &Checkpoint{Rev: f.rev(w.Checkpoint[i].Rev), Blob: w.Checkpoint[i].Blob.blob(&f, 0)}
	}
	for i := range w.Segments {
		s := &w.Segments[i]
		seg := Segment{First: s.First, Last: s.Last, Rev: f.rev(s.Rev), Blob: s.Blob.blob(&f, 0)}
		if s.First == 0 || s.Last < s.First {
			f.fail("segments %d to %d", s.First, s.Last)
		}
		f.copy("device", seg.Device[:], s.Device)
		f.copy("tip", seg.Tip[:], s.Tip)
		h.Segments = append(h.Segments, seg)
	}
	for i := range w.Parents {
		p := Parent{Counter: w.Parents[i].Counter}
		f.copy("parent device", p.Device[:], w.Parents[i].Device)
		f.copy("parent hash", p.Hash[:], w.Parents[i].Hash)
		h.Parents = append(h.Parents, p)
	}
	return h, f.err
}

const maxListDepth = 3

func (w *wireBlob) blob(f *fixed, depth int) Blob {
	b := Blob{Size: f.length("blob", w.Size)}
	f.copy("blob hash", b.Hash[:], w.Hash)
	for i := range w.Copies {
		c := Copy{Size: f.length("copy", w.Copies[i].Size)}
		f.copy("copy id", c.ID[:], w.Copies[i].ID)
		f.copy("copy lease", c.Lease[:], w.Copies[i].Lease)
		b.Copies = append(b.Copies, c)
	}
	for i := range w.Packs {
		b.Packs = append(b.Packs, w.Packs[i].pack(f))
	}
	if len(w.List) > 1 || depth > maxListDepth {
		f.fail("lists of lists of packs")
		return b
	}
	for i := range w.List {
		l := w.List[i].blob(f, depth+1)
		b.List = &l
	}
	kinds := 0
	for _, set := range []bool{b.Copies != nil, b.Packs != nil, b.List != nil} {
		if set {
			kinds++
		}
	}
	if kinds != 1 {
		f.fail("blob in %d places", kinds)
	}
	return b
}

// Limits of a pack's description: far above what is written, far below what hurts.
const (
	maxShards    = 256
	maxShardLen  = 64 << 20
	maxHeaderLen = 16 << 10
	maxTailLen   = 66 << 10
)

func (w *wirePack) pack(f *fixed) model.Pack {
	p := model.Pack{
		Kind: model.PackKind(w.Kind), K: w.K, M: w.M, ShardLen: f.length("shard", w.ShardLen), PlainLen: f.length("pack", w.PlainLen),
		Header: empty(w.Header), Tail: empty(w.Tail),
	}
	f.copy("pack id", p.ID[:], w.ID)
	if p.Kind > model.PackCheckpoint {
		f.fail("pack of kind %d", w.Kind)
	}
	if w.K < 1 || w.M < 0 || w.K > maxShards || w.M > maxShards || len(w.Shards) != w.K+w.M {
		f.fail("pack of %d+%d with %d shards", w.K, w.M, len(w.Shards))
		return p
	}
	if p.ShardLen > maxShardLen || len(p.Header) > maxHeaderLen || len(p.Tail) > maxTailLen || p.PlainLen > p.Size() {
		f.fail("pack of %d bytes in shards of %d", p.PlainLen, p.ShardLen)
	}
	p.Shards = make([]model.Shard, len(w.Shards))
	for i := range w.Shards {
		f.copy("shard id", p.Shards[i].ID[:], w.Shards[i].ID)
		f.copy("shard lease", p.Shards[i].Lease[:], w.Shards[i].Lease)
	}
	return p
}

func empty(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}

// EncodePacks is the plaintext of a Blob's List.
func EncodePacks(ps []model.Pack) ([]byte, error) {
	var buf bytes.Buffer
	enc := encMode.NewEncoder(&buf)
	for i := range ps {
		if err := enc.Encode(toWirePack(&ps[i])); err != nil {
			return nil, fmt.Errorf("encode list of packs: %w", err)
		}
	}
	return buf.Bytes(), nil
}

// DecodePacks reads what EncodePacks wrote.
func DecodePacks(b []byte) ([]model.Pack, error) {
	dec := decMode.NewDecoder(bytes.NewReader(b))
	var ps []model.Pack
	for {
		var w wirePack
		if err := dec.Decode(&w); err == io.EOF {
			return ps, nil
		} else if err != nil {
			return nil, fmt.Errorf("read list of packs: %w: %w", ErrFormat, err)
		}
		var f fixed
		p := w.pack(&f)
		if f.err != nil {
			return nil, fmt.Errorf("read list of packs: %w", f.err)
		}
		ps = append(ps, p)
	}
}

type wireBook struct {
	_       struct{} `cbor:",toarray"`
	Version uint64
	Network string
	Drive   []byte
	Time    int64
	Leases  []wireBookLease
}

type wireBookLease struct {
	_           struct{} `cbor:",toarray"`
	ID          []byte
	URL         string
	ProviderKey []byte
	Size        int64
	Until       int64
	Name        string
	Operator    string
	Country     string
}

func toWireBook(b *Book) wireBook {
	w := wireBook{Version: 1, Network: b.Drive.Network, Drive: b.Drive.ID[:], Time: b.Time, Leases: []wireBookLease{}}
	for i := range b.Leases {
		l := &b.Leases[i]
		w.Leases = append(w.Leases, wireBookLease{ID: l.ID[:], URL: l.URL, ProviderKey: l.ProviderKey[:], Size: l.Size, Until: l.Until, Name: l.Name, Operator: l.Operator, Country: l.Country})
	}
	return w
}

func (w *wireBook) book() (*Book, error) {
	var f fixed
	if w.Version != 1 {
		f.fail("lease book of version %d: a newer version of this program wrote it", w.Version)
	}
	b := &Book{Time: w.Time, Drive: Drive{Network: w.Network}}
	f.copy("drive", b.Drive.ID[:], w.Drive)
	for i := range w.Leases {
		l := &w.Leases[i]
		e := BookLease{URL: l.URL, Size: f.length("lease", l.Size), Until: l.Until, Name: l.Name, Operator: l.Operator, Country: l.Country}
		f.copy("lease id", e.ID[:], l.ID)
		f.copy("provider key", e.ProviderKey[:], l.ProviderKey)
		b.Leases = append(b.Leases, e)
	}
	return b, f.err
}
