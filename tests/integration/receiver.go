// SPDX-License-Identifier: MIT

// receiver SOCKET ack|silent BYTES: gets an iommufd as KubeVirt's launcher does: it connects, reads
// at least one byte with one descriptor, and answers with one byte ("silent": with none). Then it
// maps that many bytes by the descriptor, which proves what that is. It says what happens, a line
// each, and waits for the end of its standard input. From what that launcher is seen to do; nothing
// here is of its source.
package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"syscall"
	"unsafe"
)

// linux/iommufd.h
const (
	ioasAlloc = 0x3b81
	ioasMap   = 0x3b85

	mapWritable = 2
	mapReadable = 4
)

type allocArgs struct {
	size, flags, id uint32
}

type mapArgs struct {
	size, flags, id, zero uint32
	va, length, iova      uint64
}

func ioctl(fd int, command uintptr, args unsafe.Pointer) error {
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), command, uintptr(args))
	if errno != 0 {
		return errno
	}
	return nil
}

func say(what string, err error) bool {
	if err != nil {
		fmt.Printf("%s: %v\n", what, err)
		return false
	}
	fmt.Printf("%s: ok\n", what)
	return true
}

// receive returns the descriptor that came with the first bytes.
func receive(conn *net.UnixConn) (int, error) {
	data := make([]byte, 16)
	control := make([]byte, 256)
	n, controlLen, _, _, err := conn.ReadMsgUnix(data, control)
	if err != nil {
		return -1, err
	}
	if n == 0 {
		return -1, io.EOF
	}
	messages, err := syscall.ParseSocketControlMessage(control[:controlLen])
	if err != nil {
		return -1, err
	}
	var fds []int
	for i := range messages {
		some, err := syscall.ParseUnixRights(&messages[i])
		if err != nil {
			return -1, err
		}
		fds = append(fds, some...)
	}
	fmt.Printf("got %d bytes, %d descriptors\n", n, len(fds))
	if len(fds) != 1 {
		return -1, io.ErrUnexpectedEOF
	}
	return fds[0], nil
}

func use(fd int, length int) {
	alloc := allocArgs{size: uint32(unsafe.Sizeof(allocArgs{}))}
	if !say("alloc-ioas", ioctl(fd, ioasAlloc, unsafe.Pointer(&alloc))) {
		return
	}
	memory, err := syscall.Mmap(-1, 0, length, syscall.PROT_READ|syscall.PROT_WRITE,
		syscall.MAP_PRIVATE|syscall.MAP_ANONYMOUS)
	if err != nil {
		say("mmap", err)
		return
	}
	args := mapArgs{
		size:   uint32(unsafe.Sizeof(mapArgs{})),
		flags:  mapWritable | mapReadable,
		id:     alloc.id,
		va:     uint64(uintptr(unsafe.Pointer(&memory[0]))),
		length: uint64(length),
	}
	say("map", ioctl(fd, ioasMap, unsafe.Pointer(&args)))
}

// get does all of it, until one step fails.
func get(path, mode string, length int) {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if !say("connect", err) {
		return
	}
	fd, err := receive(conn)
	if !say("receive", err) {
		return
	}
	if mode == "ack" {
		_, err = conn.Write([]byte{1})
		say("answer", err)
		rest, err := io.ReadAll(conn)
		say(fmt.Sprintf("end after %d bytes", len(rest)), err)
	}
	use(fd, length)
}

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: receiver SOCKET ack|silent BYTES")
		os.Exit(64)
	}
	length, err := strconv.Atoi(os.Args[3])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(64)
	}
	get(os.Args[1], os.Args[2], length)
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
}
