// Tops an account up over RabbitMQ and waits for the outcome: go run . ACCOUNT AMOUNT PAYMENT
//
// EDGE_URL (amqp:// or amqps://), PRODUCER, SECRET, PARTITIONS, WAIT_SECONDS and TRIES come by the environment.
// Ends with 0 applied, 4 rejected, 3 no outcome yet (run it again), 2 wrong usage, 1 not let in.
package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"strconv"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
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

func main() {
	if len(os.Args) != 4 || os.Getenv("EDGE_URL") == "" || os.Getenv("PRODUCER") == "" {
		fmt.Fprintln(os.Stderr, "usage: go run . ACCOUNT AMOUNT PAYMENT, with EDGE_URL and PRODUCER in the environment")
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
		var said *amqp.Error
		switch {
		case err == nil && answer != nil:
			os.Exit(told(answer))
		case errors.As(err, &said) && said.Code == amqp.AccessRefused:
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
	config := amqp.Config{Heartbeat: 10 * time.Second, Dial: amqp.DefaultDial(5 * time.Second)}
	connection, err := amqp.DialConfig(os.Getenv("EDGE_URL"), config)
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	channel, err := connection.Channel()
	if err != nil {
		return nil, err
	}
	closed := channel.NotifyClose(make(chan *amqp.Error, 1))
	returned := channel.NotifyReturn(make(chan amqp.Return, 1))

	// Read what comes from now on, before sending. A stream needs a prefetch, and each delivery an acknowledgement.
	if err := channel.Qos(100, 0, false); err != nil {
		return nil, err
	}
	from := amqp.Table{"x-stream-offset": "next"}
	deliveries, err := channel.Consume("coins.events."+asked.Source, "", false, false, false, false, from)
	if err != nil {
		return nil, err
	}

	if err := publish(channel, closed, returned, asked); err != nil {
		return nil, err
	}
	late := time.After(time.Duration(setting("WAIT_SECONDS", 10)) * time.Second)
	for {
		select {
		case <-late:
			return nil, nil
		case err := <-closed:
			return nil, err
		case delivery := <-deliveries:
			var found outcome
			if err := json.Unmarshal(delivery.Body, &found); err != nil {
				return nil, err
			}
			if err := delivery.Ack(false); err != nil {
				return nil, err
			}
			if found.Data.Command.Source == asked.Source && found.Data.Command.ID == asked.ID {
				return &found, nil
			}
		}
	}
}

// publish returns when the server has the command on a queue.
func publish(channel *amqp.Channel, closed <-chan *amqp.Error, returned <-chan amqp.Return, asked command) error {
	body, err := json.Marshal(asked) // sign the very bytes that are sent
	if err != nil {
		return err
	}
	headers := amqp.Table{}
	if secret := os.Getenv("SECRET"); secret != "" {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write(body)
		headers["signature"] = base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	if err := channel.Confirm(false); err != nil {
		return err
	}
	partition := crc32.ChecksumIEEE([]byte(asked.PartitionKey)) % uint32(setting("PARTITIONS", 1))
	key := fmt.Sprintf("%s.%d", asked.Source, partition)
	within, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	message := amqp.Publishing{
		ContentType:  "application/cloudevents+json",
		DeliveryMode: amqp.Persistent,
		Headers:      headers,
		Body:         body,
	}
	mandatory, immediate := true, false
	confirmation, err := channel.PublishWithDeferredConfirmWithContext(
		within, "coins.commands", key, mandatory, immediate, message)
	if err != nil {
		return err
	}
	if !confirmation.Wait() {
		select {
		case err := <-closed:
			return err
		default:
			return errors.New("the server did not take the command")
		}
	}
	select {
	case <-returned: // comes before the confirmation
		return errors.New("no queue takes the command: has `coins migrate` run, is PARTITIONS right?")
	default:
		return nil
	}
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

func setting(name string, otherwise int) int {
	if value, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return value
	}
	return otherwise
}
