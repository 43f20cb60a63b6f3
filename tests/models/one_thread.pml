// SPDX-License-Identifier: MIT
//
// One thread: it holds both roles, sleeps in the kernel, and is called by a bell.
//
// Producers, a helper thread, a sink's worker and a closer; one thread that submits, reaps, delivers
// and sleeps: in the submit call or in wait(), or (ONLY_IN_WAIT) in wait() alone, or (POLLED) not at
// all, but its host polls a descriptor. Every run must end with everything accepted completed and the
// thread gone: a thread asleep for good is an invalid end state. In the second search any cycle at all
// is an error: nobody may spin.
//
// With WAITS the thread drives for the end of what was accepted, first, as wait() does: of which a
// worker may count down the last. The closer may wait for that.
//
// word: bit 0 "I sleep, ring"; above it the epoch. The bell is a pipe of which only matters whether
// something is in it. The kernel watches it once for each time that it was asked to. A sleep with a
// limit may end at any moment; the budgets bound how often there is a reason for one.

#ifndef DEPTH
#define DEPTH 1
#endif
#ifndef FIRST
#define FIRST 1 // requests of the first producer
#endif
#ifndef SECOND
#define SECOND 0 // and of the second
#endif
#ifndef AGAIN
#define AGAIN 1 // requests that callbacks submit
#endif
#ifndef APART
#define APART 1 // requests that never reach the kernel: refused, or run by the helper
#endif
#ifndef SUNK
#define SUNK 1 // deliveries that a sink takes
#endif
#ifndef MISHAPS
#define MISHAPS 1 // EAGAIN, a bell that the kernel will not watch, a sleep that ends for no reason
#endif
#if !defined(POLLED) && !defined(ONLY_IN_WAIT)
#define SLEEPS_IN_SUBMIT
#endif
#define EPOCH 2

byte word = 0;
byte counted = 0; // accepted and not yet dequeued, says the counter
byte queued = 0;  // really in the queue
byte accepted = 0;
byte completed = 0;
byte slots = DEPTH;
byte ready = 0;   // requests on the ready list
byte helped = 0;  // with the helper
byte handed = 0;  // with the sink
bool rung = false;     // there is something in the bell's pipe

bool closed = false;   // the gate
byte inside = 0;       // who has passed it
bool draining = false;
bool left = false;

byte in_kernel = 0;    // ordinary requests
byte done = 0;         // their completions
bool watched = false;  // the bell
bool heard = false;
bool leaving = false;  // the exit signal
bool leave_there = false;
bool told = false;     // the descriptor is readable
byte apart = APART;
byte again = AGAIN;
byte sunk = SUNK;
byte mishaps = MISHAPS;
#ifdef WAITS
bool in_wait = true;   // says the word that it waits on, which counts
byte waited_for = 0;   // what was accepted and is not done
#define enough (in_wait && waited_for == 0)
#else
#define enough false
#endif
#ifdef BUG_done_not_asked_once_more
#define slept_over false
#else
#define slept_over enough
#endif

#define anything_there (done > 0 || heard || leave_there)

inline notify(seen) {
#ifdef BUG_flag_read_before_the_epoch_moves
    seen = word;
    d_step { word = word + EPOCH; assert(word < 256 - EPOCH) };
#else
    d_step { seen = word; word = word + EPOCH; assert(word < 256 - EPOCH) };
#endif
    if
    :: seen % EPOCH != 0 ->
#ifdef BUG_rings_before_the_flag_is_taken
        rung = true; /* lib/event_count.hpp: one-2 */
        d_step { word = word - word % EPOCH }
#else
        d_step { word = word - word % EPOCH }; /* lib/event_count.hpp: park-2 */
        rung = true /* lib/event_count.hpp: one-2 */
#endif
    :: else
    fi;
    seen = 0
}

proctype producer(byte wanted) {
    byte seen;
    do
    :: wanted > 0 ->
        wanted--;
        if
        :: d_step { !closed -> inside++ };
            d_step { accepted++; counted++;
#ifdef WAITS
                waited_for++
#endif
            };
#ifdef BUG_notify_before_enqueue
            notify(seen);
            queued++;
#else
            queued++;
            notify(seen);
#endif
            inside--
        :: closed
        fi
    :: else -> break
    od
}

proctype helper() {
    byte seen;
end_idle:
    do
    :: d_step { helped > 0 -> helped-- };
        ready++; /* lib/ready_list.hpp: nudge-1 */
#ifndef BUG_helper_wakes_nobody
        notify(seen)
#endif
    od
}

// A worker of the sink's, and the last completion of a context that closes.
proctype worker() {
    byte seen;
#ifdef WAITS
    bool last;
#endif
end_idle:
    do
    :: d_step { handed > 0 -> handed-- };
#ifdef WAITS
        d_step { waited_for--; last = enough }; /* lib/wait_word.hpp: wait-11 */
#ifndef BUG_last_one_wakes_nobody
        if
        :: last -> notify(seen)
        :: else
        fi;
#endif
        last = false;
#endif
        completed++;
        if
        :: draining ->
#ifndef BUG_worker_wakes_nobody
            notify(seen) /* lib/shared_context.cpp: close-6 */
#endif
        :: !draining
        fi
    od
}

proctype closer() {
    byte seen;
    // At once, or when nobody would hear of a closer any more.
    if
    :: true
#ifdef WAITS
    :: true -> (accepted >= FIRST + SECOND && completed == accepted && !in_wait)
#else
    :: true -> (accepted >= FIRST + SECOND && completed == accepted)
#endif
    fi;
    closed = true;
    (inside == 0);
    draining = true;
#ifndef BUG_closer_wakes_nobody
    notify(seen);
#endif
    (left)
}

proctype kernel() {
end_idle:
    do
    :: d_step { in_kernel > 0 -> in_kernel--; done++; told = true }
    :: d_step { watched && rung -> watched = false; heard = true; told = true }
    :: d_step { leaving -> leaving = false; leave_there = true; told = true }
    od
}

// Announces the sleep, unless something was notified since the epoch was read.
inline announce() {
    d_step { /* lib/event_count.hpp: park-5 */
#ifdef BUG_announced_by_plain_store
        word = epoch - epoch % EPOCH + 1;
        announced = true
#else
        if
        :: word == epoch -> word = epoch - epoch % EPOCH + 1; announced = true
        :: else
        fi
#endif
    }
}

inline awake() {
    if
    :: announced ->
        announced = false;
#ifndef VARIANT_nothing_is_retracted
        d_step { word = word - word % EPOCH } /* lib/event_count.hpp: one-3 */
#endif
    :: else
    fi
}

inline arm() {
    if
    :: !armed -> bell_batched = true; armed = true /* lib/submit_step.hpp: one-1 */
    :: else
    fi
}

// The submit call: all, or nothing for now; or it dislikes the bell.
inline hand_over() {
    if
    :: batch > 0 || bell_batched || leave_batched ->
        if
        :: d_step {
                in_kernel = in_kernel + batch;
                watched = watched || bell_batched;
                leaving = leaving || leave_batched;
                moved = true;
                batch = 0; bell_batched = false; leave_batched = false
            };
            if
            :: sleeps ->
                if
                :: anything_there /* drivers/uring/uring_driver.hpp: one-6 */
                :: d_step { mishaps > 0 -> mishaps-- }
                fi
            :: else
            fi
        :: d_step { mishaps > 0 -> mishaps--; moved = false;
#ifndef BUG_busy_answer_has_no_timer
                limited = true
#endif
            }
        :: d_step { bell_batched && mishaps > 0 -> mishaps--; bell_batched = false;
#ifndef BUG_disliked_bell_passes_for_armed
                armed = false
#endif
            }
        fi
    :: else
    fi;
    sleeps = false
}

proctype thread() {
    byte epoch;
    byte batch;
    byte got;
    bool armed;         // the bell is watched, or about to be
    bool announced;
    bool there;         // a completion, before the step
    bool moved;
    bool found;
    bool limited;
    bool sleeps;        // the next submit call does
    bool bell_batched;
    bool leave_batched;
    bool leave_sent;
    bool leave_seen;
    do
    ::
#ifdef WAITS
        in_wait = in_wait && waited_for > 0;
#endif
        awake();
#ifndef BUG_epoch_read_after_looking
        epoch = word; /* lib/event_count.hpp: park-4 */
#endif
        there = anything_there;

        // -- the submit role ------------------------------------------------------------------
        atomic {
            if
            :: slots > 0 && queued > 0 ->
                queued--;
                counted--;
                moved = true;
                if
                :: apart > 0 -> apart--; ready++ // refused
                :: apart > 0 -> apart--; helped++
                :: slots--; batch++
                fi
            :: else
            fi
        };
#ifndef BUG_bell_armed_after_the_call
        arm();
#endif
#ifdef SLEEPS_IN_SUBMIT
        if
        :: there || !armed
        :: else ->
            if
#ifndef BUG_ready_list_not_looked_at
            :: ready > 0
#endif
#ifndef BUG_submits_asleep_while_closing
            :: draining /* lib/one_thread.hpp: one-4 */
#endif
            :: counted > 0
            :: else ->
                announce();
                if
#ifdef BUG_sleeps_unannounced
                :: true -> sleeps = true
#else
                :: announced && !slept_over -> sleeps = true
                :: else
#endif
                fi
            fi
        fi;
#endif
        hand_over();
#ifdef BUG_bell_armed_after_the_call
        arm();
#endif
        if
        :: draining && !leave_sent -> /* lib/submit_step.hpp: close-4 */
            leave_sent = true;
            leave_batched = true;
            hand_over()
        :: else
        fi;
        if
        :: !armed -> limited = true /* lib/submit_step.hpp: one-5 */
        :: else
        fi;
        awake();

        // -- the poll role --------------------------------------------------------------------
#ifdef POLLED
        told = false; /* drivers/uring/uring_kernel.cpp: one-7 */
#endif
        d_step { got = done; done = 0 };
        found = got > 0;
        slots = slots + got;
        if
        :: leave_there -> d_step { leave_there = false; leave_seen = true; found = true }
        :: else
        fi;
        if
        :: heard ->
            heard = false;
            found = true;
#ifndef BUG_pipe_is_not_emptied
            rung = false; /* lib/bell.hpp: one-8 */
#endif
#ifndef BUG_heard_bell_stays_armed
            armed = false /* lib/bell.hpp: one-9 */
#endif
        :: else
        fi;
        d_step { /* lib/ready_list.hpp: nudge-8 */
            found = found || ready > 0;
            got = got + ready;
            ready = 0
        };
        atomic {
            do
            :: got > 0 ->
                got--;
                if
                :: sunk > 0 -> sunk--; handed++
                :: again > 0 && !closed -> again--; accepted++; counted++; queued++; completed++
#ifdef WAITS
                :: completed++; waited_for-- // and itself it need not wake
#else
                :: completed++
#endif
                fi
            :: else -> break
            od
        };

        // -- and then -------------------------------------------------------------------------
        if
        :: found || (moved && (!armed || ready > 0 || counted > 0 || draining)) -> skip
        :: else ->
            if
#ifdef BUG_leaves_on_the_signal_alone
            :: leave_seen -> left = true; break
#else
#ifdef BUG_leaves_inside_a_wait
            :: leave_seen && completed == accepted && slots == DEPTH ->
#else
            :: leave_seen && completed == accepted && slots == DEPTH && !enough -> /* lib/poll_step.hpp: close-5 */
#endif
#ifdef WAITS
                assert(!in_wait); // whose end says nothing of a context that is gone
#endif
                left = true;
                break
#endif
            :: else
            fi;
#ifdef BUG_epoch_read_after_looking
            epoch = word;
#endif
            if
            :: ready > 0
            :: else ->
                announce();
                if
                :: !announced || slept_over
                :: announced && !slept_over ->
                    d_step { got = 0; moved = false; found = false };
                    if
#ifdef POLLED
                    :: told
#else
                    :: anything_there
#endif
                    :: limited
                    :: d_step { mishaps > 0 -> mishaps-- }
                    fi;
                    goto next
                fi
            fi
        fi;
#ifdef POLLED
        // Its host may have had enough of it, and polls.
        if
        :: true
        :: true ->
#ifndef BUG_not_reminded
            told = true; /* lib/one_thread_runner.hpp: one-10 */
#endif
            (told)
        fi;
#endif
next:   skip;
        d_step { moved = false; found = false; limited = false; got = 0; epoch = 0;
            there = false }
    od;
    assert(completed == accepted && in_kernel == 0 && batch == 0 && queued == 0 && ready == 0 &&
           helped == 0 && handed == 0)
}

init {
    atomic {
        run producer(FIRST);
#if SECOND > 0
        run producer(SECOND);
#endif
        run helper();
        run worker();
        run kernel();
        run thread();
        run closer()
    }
}
