package engine

import (
	"fmt"
	"testing"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

func TestStoredAndRecovered(t *testing.T) {
	w := newWorld(t, 6)
	h := w.home(t.TempDir(), 1)
	h.mkroot()
	h.start()
	want := map[string]string{}
	for i := range 50 {
		name := fmt.Sprintf("small-%d", i)
		data := noise(uint64(i), 100+i*37)
		h.write(h.create(name), data)
		want[name] = string(data)
	}
	big := noise(99, 20<<20+123)
	h.write(h.create("big"), big)
	want["big"] = string(big)
	h.create("empty")
	want["empty"] = ""
	h.sync()
	sameTree(t, h.tree(model.MaxRev), want)
	if st := h.e.Status(); st.PendingFiles != 0 || st.Health.AtRisk != 0 || st.Health.Packs == 0 {
		t.Errorf("status after sync: %+v", st)
	}

	r, _, _ := w.recover(2)
	sameTree(t, r.tree(model.MaxRev), want)
	r.close()
	h.close()
}
