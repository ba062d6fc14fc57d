// Package gym serves environments of a policy to programs in other languages, over
// a pair of streams. meshbench_gym beside it is the other end in Python: the
// simulator as a Gymnasium environment.
//
// The server begins with a line of JSON, Hello. Then each request is a byte and
// what belongs to it, each reply a byte 0 and what belongs to it, or 1, a length
// and the text of an error. Numbers are little-endian, lengths uint32; n is
// Hello.Environments, o Hello.Observation, h the number of heads, c the sum of
// their choices.
//
//	r  n bytes, 1 for an environment that is reset; n uint64 seeds
//	   -> n x o float32 observations [, n x c bytes of masks]
//	s  n x h int32 choices
//	   -> n x o float32 observations, n float64 rewards, n bytes, 1 where the
//	      episode is truncated [, n x c bytes of masks]
//	l  -> k uint32, k x o float32: observations of the loads that a policy is
//	      scored by
//	e  k x h int32 choices at those loads
//	   -> float64 score, the mean of reward over best reward
//
// Masks are there where Hello.Mask is: 1 for a choice that is allowed. A truncated
// environment goes on until it is reset.
package gym

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/meshbench/meshbench/lab/ppo"
)

// Version is that of the protocol.
const Version = 1

// Config is what is served.
type Config struct {
	// Title is for people.
	Title string
	// Environments are stepped together. They are of one kind.
	Environments []ppo.Env
	// Length is after how many steps an episode is truncated; 0 for never.
	Length int
	// Loads are the observations that a policy is scored by, and Score scores its
	// choices at them; nil for environments without.
	Loads [][]float32
	Score func(choices [][]int) (float64, error)
}

// Hello is what a server begins with.
type Hello struct {
	Version      int    `json:"version"`
	Title        string `json:"title"`
	Environments int    `json:"environments"`
	Observation  int    `json:"observation"` // values
	Heads        []int  `json:"heads"`       // choices of each
	Mask         bool   `json:"mask"`
	Length       int    `json:"length"`
	Loads        int    `json:"loads"`
}

// server is a conversation.
type server struct {
	Config
	Hello
	in    *bufio.Reader
	out   *bufio.Writer
	obs   []float32 // of all environments
	total int       // choices of all heads
	mask  []bool
	bytes []byte
}

// Serve answers requests from in until it ends, or until the context does: then
// it returns at once, though a read from in may still wait.
func Serve(ctx context.Context, in io.Reader, out io.Writer, cfg Config) error {
	done := make(chan error, 1)
	go func() { done <- serve(ctx, in, out, cfg) }()
	select {
	case <-ctx.Done():
		return nil
	case err := <-done:
		return err
	}
}

func serve(ctx context.Context, in io.Reader, out io.Writer, cfg Config) error {
	if len(cfg.Environments) == 0 {
		return errors.New("gym: no environment to serve")
	}
	s := &server{Config: cfg, in: bufio.NewReader(in), out: bufio.NewWriter(out)}
	s.Observation, s.Heads = cfg.Environments[0].Spaces()
	for _, n := range s.Heads {
		s.total += n
	}
	if _, ok := cfg.Environments[0].(ppo.ConditionalMasker); ok {
		return errors.New("gym: limits over several knobs, which a mask of each head does not say; accepted: one head for all actions (heads whole)")
	}
	_, masked := cfg.Environments[0].(ppo.Masker)
	s.Hello = Hello{Version, cfg.Title, len(cfg.Environments), s.Observation, s.Heads, masked, cfg.Length, len(cfg.Loads)}
	s.obs, s.mask = make([]float32, len(cfg.Environments)*s.Observation), make([]bool, s.total)
	if err := json.NewEncoder(s.out).Encode(s.Hello); err != nil {
		return fmt.Errorf("gym: %w", err)
	}
	for {
		if err := s.out.Flush(); err != nil {
			return fmt.Errorf("gym: %w", err)
		}
		op, err := s.in.ReadByte()
		if errors.Is(err, io.EOF) || ctx.Err() != nil {
			return nil
		}
		if err == nil {
			err = s.answer(op)
		}
		if err != nil {
			return fmt.Errorf("gym: request %q: %w", op, err)
		}
	}
}

// answer answers one request. An error ends the conversation; what is wrong with
// a request that was read wholly is told.
func (s *server) answer(op byte) error {
	switch op {
	case 'r':
		return s.reset()
	case 's':
		return s.step()
	case 'l':
		s.out.WriteByte(0)
		s.write(uint32(len(s.Config.Loads)))
		for _, o := range s.Config.Loads {
			s.write(o)
		}
		return nil
	case 'e':
		return s.evaluate()
	}
	return errors.New("accepted: r, s, l, e")
}

// write writes a number or numbers; an error is one of Flush.
func (s *server) write(v any) { binary.Write(s.out, binary.LittleEndian, v) }

func (s *server) tell(err error) error {
	s.out.WriteByte(1)
	s.write(uint32(len(err.Error())))
	s.out.WriteString(err.Error())
	return nil
}

func (s *server) read(n int) ([]byte, error) {
	if cap(s.bytes) < n {
		s.bytes = make([]byte, n)
	}
	s.bytes = s.bytes[:n]
	_, err := io.ReadFull(s.in, s.bytes)
	return s.bytes, err
}

// of are the observations of environment k.
func (s *server) of(k int) []float32 { return s.obs[k*s.Observation : (k+1)*s.Observation] }

func (s *server) reset() error {
	n := len(s.Config.Environments)
	b, err := s.read(9 * n)
	if err != nil {
		return err
	}
	for k, e := range s.Config.Environments {
		if b[k] == 0 {
			continue
		}
		if err := e.Reset(binary.LittleEndian.Uint64(b[n+8*k:]), s.of(k)); err != nil {
			return s.tell(err)
		}
	}
	s.out.WriteByte(0)
	s.floats(s.obs)
	s.masks()
	return nil
}

// choices reads so many rows of choices.
func (s *server) choices(rows int) (all [][]int, wrong, err error) {
	b, err := s.read(4 * rows * len(s.Heads))
	if err != nil {
		return nil, nil, err
	}
	flat := make([]int, rows*len(s.Heads))
	for k := range flat {
		v := int(int32(binary.LittleEndian.Uint32(b[4*k:])))
		if h := k % len(s.Heads); v < 0 || v >= s.Heads[h] {
			wrong = fmt.Errorf("choice %d of head %d; accepted: 0 to %d", v, h, s.Heads[h]-1)
		}
		flat[k] = v
	}
	for k := range rows {
		all = append(all, flat[k*len(s.Heads):(k+1)*len(s.Heads)])
	}
	return all, wrong, nil
}

func (s *server) step() error {
	n := len(s.Config.Environments)
	choices, wrong, err := s.choices(n)
	if err != nil {
		return err
	}
	if wrong != nil {
		return s.tell(wrong)
	}
	rewards, done := make([]float64, n), make([]byte, n)
	for k, e := range s.Config.Environments {
		r, end, err := e.Step(choices[k], s.of(k))
		if err != nil {
			return s.tell(err)
		}
		if rewards[k] = r; end {
			done[k] = 1
		}
	}
	s.out.WriteByte(0)
	s.floats(s.obs)
	s.write(rewards)
	s.out.Write(done)
	s.masks()
	return nil
}

// floats writes float32 without reflection: this is what is done most.
func (s *server) floats(v []float32) {
	var b [4]byte
	for _, x := range v {
		binary.LittleEndian.PutUint32(b[:], math.Float32bits(x))
		s.out.Write(b[:])
	}
}

func (s *server) masks() {
	if !s.Mask {
		return
	}
	for _, e := range s.Config.Environments {
		e.(ppo.Masker).Mask(s.mask)
		for _, ok := range s.mask {
			if ok {
				s.out.WriteByte(1)
			} else {
				s.out.WriteByte(0)
			}
		}
	}
}

func (s *server) evaluate() error {
	choices, wrong, err := s.choices(len(s.Config.Loads))
	if err != nil {
		return err
	}
	if wrong == nil && s.Score == nil {
		wrong = errors.New("these environments have no score by loads")
	}
	var score float64
	if wrong == nil {
		score, wrong = s.Score(choices)
	}
	if wrong != nil {
		return s.tell(wrong)
	}
	s.out.WriteByte(0)
	s.write(score)
	return nil
}
