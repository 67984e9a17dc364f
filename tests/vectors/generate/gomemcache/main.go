// gomemcache's choices: gomemcache SERVERS KEYS; see libmemcached.c for what is read and printed.
package main

import (
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/bradfitz/gomemcache/memcache"
)

func lines(path string) []string {
	text, err := os.ReadFile(path)
	if err != nil {
		log.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

func main() {
	var addresses []string
	index := map[string]int{}
	for at, line := range lines(os.Args[1]) {
		var host string
		var port, weight int
		fmt.Sscan(line, &host, &port, &weight)
		address := fmt.Sprintf("%s:%d", host, port)
		index[address] = at
		for range weight {
			addresses = append(addresses, address)
		}
	}
	var list memcache.ServerList
	if err := list.SetServers(addresses...); err != nil {
		log.Fatal(err)
	}
	fmt.Print("distribution=gomemcache\t")
	for _, key := range lines(os.Args[2]) {
		address, err := list.PickServer(key)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Print(index[address.String()], " ")
	}
	fmt.Println()
}
