package fileserver

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/cloudcoin/cloudcoin/provider/ids"
	"github.com/cloudcoin/cloudcoin/provider/shardstore"
	"github.com/cloudcoin/cloudcoin/provider/vault"
)

const (
	slotVersion = 1
	slotHeader  = 1 + 8 + ed25519.SignatureSize
	slotLabel   = "cloudcoin slot v1\n"
	maxPayload  = 64 << 10
)

// SlotValue is the value of a slot.
type SlotValue struct {
	Counter   uint64
	Signature [ed25519.SignatureSize]byte
	Payload   []byte
}

// errSlotValue is returned for bytes that are no slot value.
var errSlotValue = errors.New("not a slot value: version, counter, signature and at most 65,536 bytes of payload")

// ParseSlotValue reads a slot value; Payload aliases b.
func ParseSlotValue(b []byte) (SlotValue, error) {
	if len(b) < slotHeader || len(b) > slotHeader+maxPayload || b[0] != slotVersion {
		return SlotValue{}, errSlotValue
	}
	v := SlotValue{Counter: binary.BigEndian.Uint64(b[1:]), Payload: b[slotHeader:]}
	copy(v.Signature[:], b[9:])
	return v, nil
}

// Append appends the value as it travels.
func (v *SlotValue) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(append(b, slotVersion), v.Counter)
	b = append(b, v.Signature[:]...)
	return append(b, v.Payload...)
}

// SlotMessage is what the renter signs.
func SlotMessage(network string, provider ed25519.PublicKey, lease ids.Lease, name string, counter uint64, payload []byte) []byte {
	b := append([]byte(slotLabel), byte(len(network)))
	b = append(append(b, network...), provider...)
	b = append(append(b, lease[:]...), byte(len(name)))
	b = binary.BigEndian.AppendUint64(append(b, name...), counter)
	sum := sha256.Sum256(payload)
	return append(b, sum[:]...)
}

func validSlotName(s string) bool {
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '-':
		default:
			return false
		}
	}
	return len(s) >= 1 && len(s) <= 64
}

// putSlot answers PUT …/slots/{name}.
func (r *request) putSlot(name string) error {
	if r.ContentLength < 0 {
		return problem(http.StatusLengthRequired, "length-required", "send Content-Length")
	}
	if r.ContentLength > slotHeader+maxPayload {
		return problem(http.StatusRequestEntityTooLarge, "too-large", fmt.Sprintf("a slot's payload has at most %d bytes", maxPayload))
	}
	body := make([]byte, r.ContentLength)
	if _, err := io.ReadFull(r.Body, body); err != nil {
		return bodyProblem(err)
	}
	v, err := ParseSlotValue(body)
	if err != nil {
		return badRequest("%v", err)
	}
	if !ed25519.Verify(r.lease.Renter, SlotMessage(r.s.cfg.Network, r.s.provider, r.lease.ID, name, v.Counter, v.Payload), v.Signature[:]) {
		return problem(http.StatusBadRequest, "bad-signature", "the value is not signed by the lease's key for this slot, lease, provider and network")
	}
	if err := r.s.cfg.Vault.PutSlot(r.lease.ID, name, body, v.supersedes); err != nil {
		return err
	}
	r.w.WriteHeader(http.StatusNoContent)
	return nil
}

// supersedes tells whether v may replace the stored value.
func (v *SlotValue) supersedes(stored []byte) error {
	if stored == nil {
		return nil
	}
	old, err := ParseSlotValue(stored)
	switch {
	case err != nil || v.Counter > old.Counter: // a value that can't be read can't be protected either
		return nil
	case v.Counter == old.Counter && bytes.Equal(v.Payload, old.Payload):
		return vault.ErrSame
	}
	p := problem(http.StatusConflict, "slot-conflict", fmt.Sprintf("the slot holds counter %d", old.Counter))
	p.Counter = &old.Counter
	return p
}

var errNoSlot = problem(http.StatusNotFound, "no-such-slot", "the lease holds no such slot")

// getSlot answers GET …/slots/{name}.
func (r *request) getSlot(name string) error {
	b, err := r.s.cfg.Vault.Slot(r.lease.ID, name)
	if errors.Is(err, shardstore.ErrNotFound) {
		return errNoSlot
	}
	if errors.Is(err, shardstore.ErrDamaged) {
		r.s.cfg.Logger.Error("a slot is damaged; its renter has to write it again", "lease", r.lease.ID, "slot", name)
		return errNoSlot
	}
	if err != nil {
		return err
	}
	r.w.Header().Set("Content-Type", "application/octet-stream")
	r.w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	r.w.Header().Set("Cache-Control", "no-store")
	r.write(b)
	return nil
}

// listedSlot is one slot in a listing.
type listedSlot struct {
	Name    string `json:"name"`
	Counter uint64 `json:"counter"`
	Size    int    `json:"size"`
}

// listSlots answers GET …/slots.
func (r *request) listSlots() error {
	names, err := r.s.cfg.Vault.Slots(r.lease.ID)
	if err != nil {
		return err
	}
	list := []listedSlot{}
	for _, name := range names {
		b, err := r.s.cfg.Vault.Slot(r.lease.ID, name)
		if errors.Is(err, shardstore.ErrDamaged) || errors.Is(err, shardstore.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		v, err := ParseSlotValue(b)
		if err != nil {
			continue // as getSlot would find out, too
		}
		list = append(list, listedSlot{name, v.Counter, len(v.Payload)})
	}
	return r.json(map[string]any{"slots": list})
}
