package bmemc_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/libbmemc/bmemc"
)

// A vector is a line of tests/vectors/commands.txt, which says how it is read.
type vector struct {
	name, operation string
	before          []string
	expected        map[string]string
}

func readCommands(t *testing.T) []vector {
	t.Helper()
	text, err := os.ReadFile("../../tests/vectors/commands.txt")
	wantOK(t, err)
	var vectors []vector
	for _, line := range strings.Split(string(text), "\n") {
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
			continue
		}
		cells := strings.Split(line, "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
			if i > 3 && cells[i] == "=" {
				cells[i] = cells[i-1]
			}
		}
		v := vector{name: cells[0], operation: cells[2], expected: map[string]string{"text": cells[3], "meta": cells[4], "binary": cells[5], "auto": cells[4]}}
		if v.operation == "get k" { // with auto, plain reads are text
			v.expected["auto"] = cells[3]
		}
		for _, step := range strings.Split(cells[1], ";") {
			if step = strings.TrimSpace(step); step != "" {
				v.before = append(v.before, step)
			}
		}
		vectors = append(vectors, v)
	}
	return vectors
}

// wordOf is a word of the table as bytes; k is the key of the row.
func wordOf(word, key string) string {
	if unit, count, ok := strings.Cut(word, "*"); ok {
		number, _ := strconv.Atoi(count)
		return strings.Repeat(unit, number)
	}
	switch word {
	case "-":
		return ""
	case "k":
		return key
	}
	return strings.NewReplacer("_", " ", `\r`, "\r", `\n`, "\n", "get_k", "get "+key, "VALUE_k", "VALUE "+key).Replace(word)
}

// opOf is the operation that the table describes; the client looks up what cas the item has.
func opOf(t *testing.T, c *bmemc.Client, text, key string) bmemc.Op {
	t.Helper()
	words := strings.Fields(text)
	op := bmemc.Op{}
	for code := bmemc.OpGet; code <= bmemc.OpRaw; code++ {
		if code.String() == words[0] {
			op.Opcode = code
		}
	}
	if op.Opcode == 0 {
		t.Fatalf("no operation %s", words[0])
	}
	place := 0
	for _, word := range words[1:] {
		name, value, _ := strings.Cut(word, "=")
		signed, _ := strconv.ParseInt(value, 10, 64)
		number, _ := strconv.ParseUint(value, 10, 64)
		switch {
		case word == "want_cas":
			op.OpFlags |= bmemc.FlagWantCAS
		case word == "create":
			op.OpFlags |= bmemc.FlagCreate
		case name == "ttl" && value != "":
			op.TTL = time.Duration(signed) * time.Second
		case name == "flags" && value != "":
			op.Flags = uint32(number)
		case name == "delta" && value != "":
			op.Delta = number
		case name == "initial" && value != "":
			op.Initial = number
		case name == "meta" && value != "":
			op.MetaFlags = wordOf(value, key)
		case word == "cas=@" || word == "cas=!":
			item, err := c.Gets(background, key)
			wantOK(t, err)
			op.CAS = item.CAS
			if word == "cas=!" {
				op.CAS++
			}
		case name == "cas" && value != "":
			op.CAS = number
		case place == 0:
			op.Key = wordOf(word, key)
			place++
		default:
			op.Value = []byte(wordOf(word, key))
		}
	}
	return op
}

var statusNames = map[string]bmemc.Status{
	"Ok": 0, "NotFound": bmemc.ErrNotFound, "NotStored": bmemc.ErrNotStored, "Exists": bmemc.ErrExists,
	"Argument": bmemc.ErrArgument, "TooLarge": bmemc.ErrTooLarge, "ClientError": bmemc.ErrClientError,
	"ServerError": bmemc.ErrServerError, "UnknownCommand": bmemc.ErrUnknownCommand, "Unsupported": bmemc.ErrUnsupported,
}

// wrong says what of an answer is not as the table has it; nothing where all is.
func wrong(answer *bmemc.Answer, expected, key string) string {
	words := strings.Fields(expected)
	status, ok := statusNames[words[0]]
	if !ok || answer.Status != status {
		return fmt.Sprintf("%v, not %s", answer.Err(), words[0])
	}
	fetched := map[bool]string{true: "1", false: "0"}[answer.Fetched]
	seen := map[string]string{
		"value": string(answer.Value), "key": answer.Key, "flags": fmt.Sprint(answer.Flags), "cas": fmt.Sprint(answer.CAS),
		"number": fmt.Sprint(answer.Number), "ttl": fmt.Sprint(answer.TTL.Seconds()), "size": fmt.Sprint(answer.Size), "fetched": fetched,
	}
	bits := map[string]bmemc.Bits{"WIN": bmemc.BitWin, "STALE": bmemc.BitStale, "WON_BY_OTHER": bmemc.BitWonByOther}
	for _, word := range words[1:] {
		name, value, given := strings.Cut(word, "=")
		if name == "bits" {
			for _, bit := range strings.Split(value, ",") {
				if answer.Bits&bits[bit] == 0 {
					return fmt.Sprintf("bits %d without %s", answer.Bits, bit)
				}
			}
			continue
		}
		got, known := seen[name]
		if !known {
			return "the test does not know " + name
		}
		if given && got != wordOf(value, key) || !given && (got == "" || got == "0") {
			return fmt.Sprintf("%s is %.60q, not %.60q", name, got, wordOf(value, key))
		}
	}
	return ""
}

// Every command is answered over every protocol as the table has it.
func TestVectorsOfCommands(t *testing.T) {
	vectors := readCommands(t)
	if len(vectors) < 100 {
		t.Fatalf("%d vectors", len(vectors))
	}
	everywhere(t, func(t *testing.T, c *bmemc.Client) {
		protocol := t.Name()[strings.LastIndex(t.Name(), "/")+1:]
		servers, err := c.Servers()
		wantOK(t, err)
		helper := newClient(t, bmemc.Options{Servers: []bmemc.Server{servers[0].Server}, Protocol: "meta", Timeout: 20 * time.Second})
		for _, v := range vectors {
			key := newKey()
			for _, step := range v.before {
				prepare(t, helper, step, key)
			}
			op := opOf(t, helper, v.operation, key)
			answers, err := c.Execute(background, []bmemc.Op{op})
			wantOK(t, err)
			if why := wrong(&answers[0], v.expected[protocol], key); why != "" {
				t.Errorf("%s: %s", v.name, why)
			}
		}
	})
}

// prepare does one step of what comes before.
func prepare(t *testing.T, c *bmemc.Client, step, key string) {
	t.Helper()
	switch verb, _, _ := strings.Cut(step, " "); verb {
	case "vivify":
		_, _ = c.Meta(background, "mg", key, "v N30", nil)
	case "recache":
		_, _ = c.Meta(background, "mg", key, "v R30", nil)
	case "invalidate":
		_, err := c.Meta(background, "md", key, "I T30", nil)
		wantOK(t, err)
	default:
		_, err := c.Do(background, opOf(t, c, step, key))
		wantOK(t, err)
	}
}
