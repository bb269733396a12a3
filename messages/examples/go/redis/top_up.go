// Tops an account up and waits for the outcome: go run top_up.go ACCOUNT AMOUNT PAYMENT
//
// EDGE_URL (redis:// or rediss://), PRODUCER, SECRET, PARTITIONS, WAIT_SECONDS and TRIES come by the environment.
// Ends with 0 applied, 4 rejected, 3 no outcome yet (run it again), 2 wrong usage, 1 not let in.
//
// It needs nothing but the standard library; with a client such as go-redis, `call` is its Do.
package main

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

type topUp struct {
	Account   string `json:"account"`
	Amount    int64  `json:"amount"`
	Reference string `json:"reference"`
}

type command struct {
	SpecVersion  string `json:"specversion"`
	ID           string `json:"id"`
	Source       string `json:"source"`
	Type         string `json:"type"`
	PartitionKey string `json:"partitionkey"`
	Data         topUp  `json:"data"`
}

type outcome struct {
	Type string `json:"type"`
	Data struct {
		Command struct {
			Source string `json:"source"`
			ID     string `json:"id"`
		} `json:"command"`
		Duplicate   bool   `json:"duplicate"`
		Reason      string `json:"reason"`
		Message     string `json:"message"`
		Transaction string `json:"transaction"`
	} `json:"data"`
}

// refusal is an error that the server answers with, such as NOPERM.
type refusal string

func (said refusal) Error() string { return string(said) }

type edge struct {
	connection net.Conn
	reader     *bufio.Reader
}

func main() {
	if len(os.Args) != 4 || os.Getenv("EDGE_URL") == "" || os.Getenv("PRODUCER") == "" {
		fmt.Fprintln(os.Stderr, "usage: go run top_up.go ACCOUNT AMOUNT PAYMENT, with EDGE_URL and PRODUCER in the environment")
		os.Exit(2)
	}
	amount, err := strconv.ParseInt(os.Args[2], 10, 64)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	asked := command{
		SpecVersion: "1.0",
		// From what is paid for, so that the same payment can never be booked twice, whoever sends it again.
		ID:           "top-up-" + os.Args[3],
		Source:       os.Getenv("PRODUCER"),
		Type:         "coins.TopUp.v1",
		PartitionKey: os.Args[1],
		Data:         topUp{Account: os.Args[1], Amount: amount, Reference: os.Args[3]},
	}
	for attempt := 0; attempt < setting("TRIES", 3); attempt++ {
		answer, err := outcomeOf(asked)
		var said refusal
		switch {
		case err == nil && answer != nil:
			os.Exit(told(answer))
		case errors.As(err, &said) && refused(said):
			fmt.Fprintln(os.Stderr, said)
			os.Exit(1) // trying again changes nothing
		case err != nil:
			fmt.Fprintln(os.Stderr, err)
			time.Sleep(200 * time.Millisecond << attempt)
		}
	}
	fmt.Fprintf(os.Stderr, "no outcome of %s yet; run this again\n", asked.ID)
	os.Exit(3)
}

// outcomeOf sends the command and waits; nil when no outcome of it came in time.
func outcomeOf(asked command) (*outcome, error) {
	edge, err := dial(os.Getenv("EDGE_URL"))
	if err != nil {
		return nil, err
	}
	defer edge.connection.Close()
	stream := "coins:events:" + asked.Source

	// Where the stream ends now: our outcome comes behind it.
	last, err := edge.call("XREVRANGE", stream, "+", "-", "COUNT", "1")
	if err != nil {
		return nil, err
	}
	position := "0-0"
	if entries := last.([]any); len(entries) > 0 {
		position = entries[0].([]any)[0].(string)
	}

	body, err := json.Marshal(asked) // sign the very bytes that are sent
	if err != nil {
		return nil, err
	}
	partition := crc32.ChecksumIEEE([]byte(asked.PartitionKey)) % uint32(setting("PARTITIONS", 1))
	words := []string{"XADD", fmt.Sprintf("coins:commands:%d:%s", partition, asked.Source), "*", "event", string(body)}
	if secret := os.Getenv("SECRET"); secret != "" {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write(body)
		words = append(words, "signature", base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	if _, err := edge.call(words...); err != nil {
		return nil, err
	}

	until := time.Now().Add(time.Duration(setting("WAIT_SECONDS", 10)) * time.Second)
	for left := time.Until(until); left > 0; left = time.Until(until) {
		block := strconv.FormatInt(left.Milliseconds()+1, 10)
		read, err := edge.call("XREAD", "COUNT", "100", "BLOCK", block, "STREAMS", stream, position)
		if err != nil || read == nil {
			return nil, err
		}
		for _, entry := range read.([]any)[0].([]any)[1].([]any) {
			position = entry.([]any)[0].(string)
			fields := entry.([]any)[1].([]any) // event, its JSON, type, its type
			var found outcome
			if err := json.Unmarshal([]byte(fields[1].(string)), &found); err != nil {
				return nil, err
			}
			if found.Data.Command.Source == asked.Source && found.Data.Command.ID == asked.ID {
				return &found, nil
			}
		}
	}
	return nil, nil
}

func told(answer *outcome) int {
	data := answer.Data
	if answer.Type != "coins.CommandApplied.v1" {
		fmt.Printf("rejected %s: %s\n", data.Reason, data.Message)
		return 4
	}
	again := ""
	if data.Duplicate {
		again = " (decided before)"
	}
	fmt.Printf("applied %s%s\n", data.Transaction, again)
	return 0
}

func refused(said refusal) bool {
	word, _, _ := strings.Cut(string(said), " ")
	return word == "NOPERM" || word == "NOAUTH" || word == "WRONGPASS"
}

func setting(name string, otherwise int) int {
	if value, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return value
	}
	return otherwise
}

// dial opens a connection and logs in.
func dial(address string) (*edge, error) {
	at, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	var connection net.Conn
	if at.Scheme == "rediss" {
		connection, err = tls.DialWithDialer(dialer, "tcp", at.Host, nil)
	} else {
		connection, err = dialer.Dial("tcp", at.Host)
	}
	if err != nil {
		return nil, err
	}
	made := &edge{connection, bufio.NewReader(connection)}
	if password, given := at.User.Password(); given {
		if _, err := made.call("AUTH", at.User.Username(), password); err != nil {
			connection.Close()
			return nil, err
		}
	}
	return made, nil
}

// call says some words to the server and reads its answer: nil, a string, or a []any of those.
func (edge *edge) call(words ...string) (any, error) {
	var said strings.Builder
	fmt.Fprintf(&said, "*%d\r\n", len(words))
	for _, word := range words {
		fmt.Fprintf(&said, "$%d\r\n%s\r\n", len(word), word)
	}
	wait := time.Duration(setting("WAIT_SECONDS", 10)+5) * time.Second
	if err := edge.connection.SetDeadline(time.Now().Add(wait)); err != nil {
		return nil, err
	}
	if _, err := io.WriteString(edge.connection, said.String()); err != nil {
		return nil, err
	}
	return edge.answer()
}

func (edge *edge) answer() (any, error) {
	line, err := edge.reader.ReadString('\n')
	if err != nil {
		return nil, err
	}
	kind, rest := line[0], strings.TrimRight(line[1:], "\r\n")
	switch kind {
	case '-':
		return nil, refusal(rest)
	case '$':
		length, err := strconv.Atoi(rest)
		if err != nil || length < 0 {
			return nil, err
		}
		text := make([]byte, length+2)
		if _, err := io.ReadFull(edge.reader, text); err != nil {
			return nil, err
		}
		return string(text[:length]), nil
	case '*':
		length, err := strconv.Atoi(rest)
		if err != nil || length < 0 {
			return nil, err
		}
		all := make([]any, length)
		for index := range all {
			if all[index], err = edge.answer(); err != nil {
				return nil, err
			}
		}
		return all, nil
	default:
		return rest, nil
	}
}
