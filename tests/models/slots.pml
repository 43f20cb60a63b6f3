// SPDX-License-Identifier: MIT
//
// Slots: each slot has one owner at a time, and each request is delivered once.
//
// A submit role, a poll role, and a kernel that completes what it holds in any order, also before
// the submit call has returned, and that may repeat a completion later. A lost slot or request
// leaves a role waiting for good, an invalid end state; everything else is an assertion. In the end
// every slot must be free and on a list.
//
// Rings are modelled store by store, because what is at stake is who may push.

#define DEPTH 2     // deliver() and reap() name both slots
#ifndef REQUESTS
#define REQUESTS 3
#endif
#ifndef BUDGET
#define BUDGET 1
#endif
#define RING 4      // places of a ring; more than slots, so that it is never full
#define NOBODY 255

mtype = { is_free, is_filled, is_in_kernel, is_completed, is_continuing };

mtype state[DEPTH] = is_free;
byte generation[DEPTH];
byte request_of[DEPTH] = NOBODY;
byte listed[DEPTH] = 1; // for the proof: on how many lists the slot is

byte free_ring[RING];
byte free_head = 0;
byte free_tail = 0;
byte again_ring[RING];
byte again_head = 0;
byte again_tail = 0;
byte stash[DEPTH];
byte stashed = 0;

byte taken = 0;     // counters as in the source: taken and returned by the submit role,
byte returned = 0;
byte released = 0;  // released by the poll role

// The kernel: one operation per slot, and one completion that it may repeat.
bool held[DEPTH];
byte held_generation[DEPTH];
byte held_request[DEPTH];
bool echo = false;
byte echo_slot;
byte echo_generation;

bool ours[REQUESTS] = true; // the engine may touch the request
byte delivered = 0;
chan ready = [REQUESTS] of { byte };

byte short_answers = BUDGET;
byte bad_answers = BUDGET;
byte busy_answers = BUDGET;
byte echoes = BUDGET;

inline list(s) { d_step { listed[s]++; assert(listed[s] == 1) } }
inline unlist(s) { d_step { assert(listed[s] == 1); listed[s]-- } }

inline push_free(s, at) {
    list(s);
    at = free_tail;
    free_ring[at] = s;
    free_tail = (at + 1) % RING;
    at = 0
}

inline push_again(s, at) {
    list(s);
    at = again_tail;
    again_ring[at] = s;
    again_tail = (at + 1) % RING;
    at = 0
}

inline deliver(r) {
    d_step {
        assert(ours[r]);
        // The kernel holds no piece of it.
        assert(!(held[0] && held_request[0] == r));
        assert(!(held[1] && held_request[1] == r));
        ours[r] = false;
        delivered++
    }
}

// One system call for slot s.
inline submit(s, r, at) {
#ifndef BUG_state_set_after_the_call
    assert(state[s] == is_filled);
    state[s] = is_in_kernel; /* lib/slot.hpp: slot-1 */
#endif
    do
    :: d_step { busy_answers > 0 -> busy_answers-- } // EAGAIN: kept in the batch, tried again
    :: d_step {
            assert(!held[s]);
            held[s] = true;
            held_generation[s] = generation[s];
            held_request[s] = request_of[s]
        };
#ifdef BUG_state_set_after_the_call
        state[s] = is_in_kernel;
#endif
#ifdef BUG_slot_touched_after_the_call
        assert(state[s] == is_in_kernel);
#endif
        break
    :: d_step { bad_answers > 0 -> bad_answers-- };
        r = request_of[s];
        d_step { assert(ours[r]); request_of[s] = NOBODY };
        state[s] = is_free;
        returned++;
#ifdef BUG_refused_slot_on_the_free_list
        push_free(s, at);
#else
        list(s);
        d_step { stash[stashed] = s; stashed++ }; /* lib/slot.hpp: slot-6 */
#endif
        ready!r;
        break
    od;
    r = 0
}

proctype submit_role() {
    byte next = 0; // the request that is at the head of the queue
    byte s;
    byte r;
    byte at;
    do
    :: delivered == REQUESTS -> break
    :: again_head != again_tail -> /* lib/slot.hpp: slot-5 */
        s = again_ring[again_head];
        again_head = (again_head + 1) % RING;
        unlist(s);
        assert(state[s] == is_continuing);
#ifndef BUG_generation_kept_for_the_next_piece
        generation[s]++;
#endif
        state[s] = is_filled;
        submit(s, r, at);
        s = 0
    :: again_head == again_tail && next < REQUESTS && (stashed > 0 || free_head != free_tail) ->
        if
        :: stashed > 0 -> d_step { stashed--; s = stash[stashed]; stash[stashed] = 0 }
        :: stashed == 0 ->
            s = free_ring[free_head];
            free_head = (free_head + 1) % RING
        fi;
        unlist(s);
        assert(state[s] == is_free);
        taken++;
        generation[s]++;
        d_step { assert(ours[next]); request_of[s] = next; next++ };
        state[s] = is_filled;
        submit(s, r, at);
        s = 0
    od
}

// The kernel completes an operation, or repeats itself.
inline reap(s, g) {
    if
    :: d_step { held[0] -> held[0] = false; s = 0; g = held_generation[0] };
        may_echo(s, g)
    :: d_step { held[1] -> held[1] = false; s = 1; g = held_generation[1] };
        may_echo(s, g)
    :: d_step { echo -> echo = false; s = echo_slot; g = echo_generation }
    fi
}

inline may_echo(s, g) {
    if
    :: d_step { echoes > 0 -> echoes--; echo = true; echo_slot = s; echo_generation = g }
    :: true
    fi
}

proctype poll_role() {
    byte s;
    byte g;
    byte r;
    byte at;
    bool alive;
    do
    :: delivered == REQUESTS && !echo -> break
    :: ready?r -> deliver(r); r = 0
    :: held[0] || held[1] || echo ->
        reap(s, g);
#ifdef BUG_generation_not_compared
        alive = (state[s] == is_in_kernel);
#else
#ifdef BUG_state_not_compared
        alive = (generation[s] == g);
#else
#ifdef BUG_generation_read_before_state
        alive = (generation[s] == g);
        alive = (alive && state[s] == is_in_kernel);
#else
        alive = (state[s] == is_in_kernel); /* lib/slot.hpp: slot-2 */
        alive = (alive && generation[s] == g); /* lib/slot.hpp: slot-7 */
#endif
#endif
#endif
        if
        :: !alive
        :: alive ->
            state[s] = is_completed;
            r = request_of[s];
            d_step { assert(r != NOBODY); assert(ours[r]) };
            if
            :: d_step { short_answers > 0 -> short_answers-- };
                state[s] = is_continuing;
#ifdef BUG_continuing_slot_also_released
                push_again(s, at);
                state[s] = is_free;
                push_free(s, at);
                released++
#else
                push_again(s, at) /* lib/slot.hpp: slot-4 */
#endif
            :: true ->
#ifdef BUG_request_touched_after_delivery
                deliver(r);
                assert(ours[request_of[s]]);
                request_of[s] = NOBODY;
                state[s] = is_free;
                push_free(s, at);
                released++
#else
#ifdef BUG_slot_listed_before_it_is_free
                push_free(s, at);
                request_of[s] = NOBODY;
                state[s] = is_free;
                released++;
                deliver(r)
#else
                request_of[s] = NOBODY;
                state[s] = is_free;
                push_free(s, at); /* lib/slot.hpp: slot-3 */
                released++;
                deliver(r)
#endif
#endif
            fi
        fi;
        d_step { s = 0; g = 0; r = 0; alive = false }
    od
}

init {
    byte i;
    d_step {
        do
        :: i < DEPTH -> free_ring[i] = i; i++
        :: else -> break
        od;
        free_tail = DEPTH;
        i = 0
    };
    atomic { run submit_role(); run poll_role() };
    (_nr_pr == 1);
    // Everything is over: no slot lost, none twice, the counters agree.
    d_step {
        assert(taken == released + returned);
        assert(stashed + (free_tail + RING - free_head) % RING == DEPTH);
        assert(again_head == again_tail);
        do
        :: i < DEPTH -> assert(state[i] == is_free && listed[i] == 1 && !held[i]); i++
        :: else -> break
        od
    }
}
