package apiserver

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Etcd is the store behind the API server, by the JSON gateway of its client port.
type Etcd struct {
	url    string
	quota  int64
	client *http.Client
}

// Etcd returns the store behind the API server.
func (e *Env) Etcd() *Etcd {
	return &Etcd{url: e.environment.ControlPlane.Etcd.URL.String(), quota: e.quota, client: &http.Client{}}
}

const (
	fillPrefix, fillEnd = "/fill/", "/fill0"
	// fillValue is the size of what fills: less than a request to etcd may have.
	fillValue = 1 << 20
	noSpace   = "database space exceeded"
)

// etcdStatus is what etcd says of itself; numbers are strings in its JSON.
type etcdStatus struct {
	Header struct {
		Revision int64 `json:"revision,string"`
	} `json:"header"`
	Size int64 `json:"dbSize,string"`
}

// Fill writes beside the API server's data until etcd has no space and raises its alarm: from then on it refuses
// whatever would take some. The server must have been given WithEtcdQuota. It returns how many bytes were written.
func (e *Etcd) Fill(ctx context.Context) (written int64, err error) {
	if e.quota == 0 {
		return 0, errors.New("etcd has no quota: WithEtcdQuota was not given")
	}
	value := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("full"), fillValue/4))
	for n := int64(0); n*fillValue < 2*e.quota; n++ {
		key := base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%s%08d", fillPrefix, n))
		err := e.ask(ctx, "kv/put", map[string]any{"key": key, "value": value}, nil)
		switch {
		case err == nil:
		case strings.Contains(err.Error(), noSpace):
			return n * fillValue, nil
		default:
			return n * fillValue, err
		}
	}
	return 0, fmt.Errorf("etcd takes twice its quota of %d bytes", e.quota)
}

// MakeRoom does what an administrator does about an etcd without space: it deletes what filled it, compacts, defragments
// and disarms the alarm.
func (e *Etcd) MakeRoom(ctx context.Context) error {
	encode := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	if err := e.ask(ctx, "kv/deleterange", map[string]any{"key": encode(fillPrefix), "range_end": encode(fillEnd)}, nil); err != nil {
		return err
	}
	status, err := e.status(ctx)
	if err != nil {
		return err
	}
	if err := e.ask(ctx, "kv/compaction", map[string]any{"revision": fmt.Sprint(status.Header.Revision), "physical": true}, nil); err != nil {
		return err
	}
	if err := e.ask(ctx, "maintenance/defragment", map[string]any{}, nil); err != nil {
		return err
	}
	var raised struct {
		Alarms []struct {
			MemberID string `json:"memberID"`
			Alarm    string `json:"alarm"`
		} `json:"alarms"`
	}
	if err := e.ask(ctx, "maintenance/alarm", map[string]any{"action": "GET"}, &raised); err != nil {
		return err
	}
	for _, a := range raised.Alarms {
		if err := e.ask(ctx, "maintenance/alarm", map[string]any{"action": "DEACTIVATE", "memberID": a.MemberID, "alarm": a.Alarm}, nil); err != nil {
			return err
		}
	}
	return nil
}

// Size of its file, in bytes.
func (e *Etcd) Size(ctx context.Context) (int64, error) {
	status, err := e.status(ctx)
	return status.Size, err
}

func (e *Etcd) status(ctx context.Context) (etcdStatus, error) {
	var status etcdStatus
	err := e.ask(ctx, "maintenance/status", map[string]any{}, &status)
	return status, err
}

// ask sends a request of etcd's API and reads the answer; nil: it does not matter.
func (e *Etcd) ask(ctx context.Context, what string, request, answer any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url+"/v3/"+what, bytes.NewReader(body))
	if err != nil {
		return err
	}
	response, err := e.client.Do(r)
	if err != nil {
		return fmt.Errorf("asking etcd for %s: %w", what, err)
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("reading etcd's answer about %s: %w", what, err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("etcd answers %s about %s: %s", response.Status, what, content)
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(content, answer); err != nil {
		return fmt.Errorf("reading etcd's answer about %s: %w", what, err)
	}
	return nil
}
