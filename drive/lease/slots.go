package lease

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"

	"github.com/cloudcoin/cloudcoin/sync/transfer"
)

const (
	slotVersion = 1
	slotHeader  = 1 + 8 + ed25519.SignatureSize
	maxSlots    = 256
)

// slotMessage is what the lease key signs.
func (c *Client) slotMessage(name string, s transfer.Slot) []byte {
	sum := sha256.Sum256(s.Payload)
	b := []byte("cloudcoin slot v1\n")
	b = append(b, byte(len(c.cfg.Network)))
	b = append(b, c.cfg.Network...)
	b = append(b, c.cfg.Provider...)
	b = append(b, c.cfg.Lease[:]...)
	b = append(b, byte(len(name)))
	b = append(b, name...)
	b = binary.BigEndian.AppendUint64(b, s.Counter)
	return append(b, sum[:]...)
}

// encodeSlot signs a value and writes it as the provider keeps it.
func (c *Client) encodeSlot(name string, s transfer.Slot) []byte {
	b := make([]byte, 0, slotHeader+len(s.Payload))
	b = append(b, slotVersion)
	b = binary.BigEndian.AppendUint64(b, s.Counter)
	b = append(b, ed25519.Sign(c.cfg.Key, c.slotMessage(name, s))...)
	return append(b, s.Payload...)
}

var errSlot = errors.New("not a slot value that this key signed")

// decodeSlot checks version, length and signature.
func (c *Client) decodeSlot(name string, b []byte) (transfer.Slot, error) {
	if len(b) < slotHeader || len(b) > slotHeader+transfer.MaxSlotPayload || b[0] != slotVersion {
		return transfer.Slot{}, errSlot
	}
	s := transfer.Slot{Counter: binary.BigEndian.Uint64(b[1:]), Payload: b[slotHeader:]}
	if !ed25519.Verify(c.cfg.Key.Public().(ed25519.PublicKey), c.slotMessage(name, s), b[9:slotHeader]) {
		return transfer.Slot{}, errSlot
	}
	return s, nil
}

// Slots implements transfer.Shards.
func (c *Client) Slots(ctx context.Context) ([]string, error) {
	var a struct {
		Slots []struct {
			Name string `json:"name"`
		} `json:"slots"`
	}
	if err := c.call(ctx, http.MethodGet, "/slots", nil, &a); err != nil {
		return nil, c.wrap("list slots", err)
	}
	if len(a.Slots) > maxSlots {
		return nil, c.wrap("list slots", fmt.Errorf("%d of them: %w", len(a.Slots), transfer.ErrDamaged))
	}
	names := make([]string, len(a.Slots))
	for i, s := range a.Slots {
		if err := transfer.ValidSlot(s.Name, transfer.Slot{}); err != nil {
			return nil, c.wrap("list slots", fmt.Errorf("%w: %w", transfer.ErrDamaged, err))
		}
		names[i] = s.Name
	}
	return names, nil
}

// GetSlot implements transfer.Shards.
func (c *Client) GetSlot(ctx context.Context, name string) (transfer.Slot, error) {
	if err := transfer.ValidSlot(name, transfer.Slot{}); err != nil {
		return transfer.Slot{}, err
	}
	var s transfer.Slot
	err := c.do(ctx, c.host.control, func() (*http.Request, error) {
		return http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/slots/"+name, nil)
	}, func(resp *http.Response) error {
		b, err := readBounded(resp, slotHeader+transfer.MaxSlotPayload)
		if err != nil {
			return err
		}
		if s, err = c.decodeSlot(name, b); err != nil {
			return fmt.Errorf("%w: %w", transfer.ErrDamaged, err)
		}
		return nil
	})
	if err != nil {
		return transfer.Slot{}, c.wrap("get slot "+name, err)
	}
	return s, nil
}

// PutSlot implements transfer.Shards.
func (c *Client) PutSlot(ctx context.Context, name string, s transfer.Slot) error {
	if err := transfer.ValidSlot(name, s); err != nil {
		return err
	}
	value := c.encodeSlot(name, s)
	err := c.do(ctx, c.host.control, func() (*http.Request, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPut, c.base+"/slots/"+name, bytes.NewReader(value))
		if err == nil {
			req.Header.Set("Content-Type", "application/octet-stream")
		}
		return req, err
	}, func(*http.Response) error { return nil })
	if err != nil {
		return c.wrap("put slot "+name, err)
	}
	return nil
}
