// SPDX-License-Identifier: MIT
//
// Standby: threads inside wait() take the poll role from the poller, who stands by meanwhile.
//
// Waiters, each with requests of its own and without a callback; a producer whose requests have
// callbacks, which only the poller runs; a submitter that hands over what the producer queued, and
// at the end the exit signal; a kernel that completes in any order. Every run must end: a waiter
// that sleeps though its request is done, a completion that nobody reaps, a poller that stands by
// though nobody is inside wait() are invalid end states.
//
// A waiter's request is in the kernel before it looks for the poll role; that the submitter may be
// the one to hand it over is the submitter's part here. Parking is as in parking.pml: nothing
// announced since the poller read its epoch is slept through (`news`), and the word that a waiter
// parks on is compared by the kernel.

#ifndef WAITERS
#define WAITERS 2
#endif
#ifndef ROUNDS
#define ROUNDS 1 // waits of each waiter
#endif
#ifndef FOREIGN
#define FOREIGN 1 // requests with a callback
#endif
// A waiter's request has a callback that the poller runs (a sink, or workers).
#ifndef CALLED_BACK
#define CALLED_BACK 0
#endif
// What the first waiter waits for comes only after a callback has run.
#ifdef VARIANT_waiter_depends_on_a_callback
#define MAY_COMPLETE called_back
#else
#define MAY_COMPLETE true
#endif
#define FREE 0
#define TAKEN 1

byte lock = FREE;         // the poll role's
byte holders = 0;
byte waiters = 0;         // inside wait()
bool listed[WAITERS];     // parked, or about to be
bool promoted[WAITERS];
bool asleep[WAITERS];     // in the kernel, with the role; or about to be
bool nudged = false;
byte own_foreign[WAITERS]; // reaped by a waiter, for the poller to deliver
bool done[WAITERS];

byte own_in_kernel[WAITERS];
byte own_completed[WAITERS]; // by the kernel
byte queued = 0;             // of the producer
byte foreign_in_kernel = 0;
byte foreign_completed = 0;
byte foreign = 0;            // reaped by a waiter, for the poller to deliver
byte pending = 0;            // accepted and not yet delivered or noticed
bool called_back = false;
bool draining = false;
bool leave_completed = false;
bool leave_seen = false;

bool on_standby = false;
bool news = false;           // the epoch of the poller's event count moved
byte finished = 0;           // waiters and producers that have ended

#define completions (own_completed[0] + (WAITERS > 1 -> own_completed[WAITERS - 1] : 0) + foreign_completed + leave_completed)

#define for_the_poller (foreign + own_foreign[0] + (WAITERS > 1 -> own_foreign[WAITERS - 1] : 0))

// The last count of a waiter's request, on the poller.
inline count_down(whose) {
    d_step { own_foreign[whose] > 0 ->
        own_foreign[whose]--; done[whose] = true;
        if
        :: asleep[whose] -> nudged = true /* lib/wait_word.hpp: wait-11 */
        :: else
        fi;
        pending--; moved = true
    }
}

inline take(got) {
    d_step {
        if
        :: lock == FREE -> lock = TAKEN; got = true; holders++; assert(holders == 1)
        :: else -> got = false
        fi
    }
}

inline release() {
    d_step { lock = FREE; holders-- } /* lib/waiter.hpp: wait-3 */
}

// Under the list's mutex.
inline promote() {
    d_step { /* lib/standby.hpp: wait-4 */
        if
        :: listed[0] -> listed[0] = false; promoted[0] = true
        :: else ->
            if
            :: WAITERS > 1 && listed[WAITERS - 1] ->
                listed[WAITERS - 1] = false; promoted[WAITERS - 1] = true
            :: else
            fi
        fi
    }
}

// poll_step() of a waiter or of the poller: one completion.
inline reap(by_waiter) {
    if
    :: d_step { own_completed[0] > 0 ->
            own_completed[0]--;
            if
            :: by_waiter && CALLED_BACK -> own_foreign[0]++
            :: else -> pending--; done[0] = true
            fi
        }
    :: d_step { WAITERS > 1 && own_completed[WAITERS - 1] > 0 ->
            own_completed[WAITERS - 1]--;
            if
            :: by_waiter && CALLED_BACK -> own_foreign[WAITERS - 1]++
            :: else -> pending--; done[WAITERS - 1] = true
            fi
        }
    :: d_step { foreign_completed > 0 ->
            foreign_completed--;
            if
            :: by_waiter -> foreign++
            :: else -> pending--; called_back = true
            fi
        }
    :: d_step { leave_completed -> leave_completed = false; leave_seen = true }
    fi
}

proctype waiter(byte me) {
    byte left = ROUNDS;
    byte others;
    bool got;
    do
    :: left == 0 -> break
    :: left > 0 ->
        left--;
        d_step { done[me] = false; pending++; own_in_kernel[me]++ };
        waiters++; /* lib/standby.hpp: wait-1 */
        do
        :: done[me] -> break
        :: !done[me] ->
            take(got);
            if
            :: got
            :: !got ->
                listed[me] = true; /* lib/standby.hpp: wait-2 */
#ifndef BUG_role_not_tried_again
                take(got);
#endif
                if
                :: got -> listed[me] = false
                :: !got ->
                    (done[me] || promoted[me]);
#ifdef BUG_listed_after_the_wait
                    skip
#else
                    d_step { listed[me] = false; promoted[me] = false }
#endif
                fi
            fi;
            if
            :: got ->
                do
                :: done[me] -> break
                :: !done[me] ->
                    // looks, or sleeps in the kernel until there is something
#ifndef BUG_done_in_the_kernel_unheard
                    asleep[me] = true; /* lib/wait_word.hpp: wait-12 */
                    if
                    :: !done[me] ->
                        (completions > 0 || nudged)
                    :: done[me]
                    fi;
                    d_step { nudged = false; asleep[me] = false };
#else
                    (completions > 0);
#endif
                    if
                    :: completions > 0 -> reap(true)
                    :: completions == 0
                    fi;
                    if
#ifndef BUG_foreign_callbacks_in_silence
                    :: for_the_poller > 0 -> news = true /* lib/poll_step.hpp: wait-6 */
#endif
                    :: else
                    fi
                od;
                skip;
                release();
                got = false
            :: !got
            fi
        od;
        skip;
        // leaves
        d_step { waiters--; others = waiters }; /* lib/standby.hpp: wait-5 */
        if
#ifndef BUG_leaves_without_promoting
        :: others > 0 -> promote()
#endif
#ifndef BUG_last_waiter_wakes_nobody
        :: others == 0 && (pending > 0 || draining) ->
            if
            :: on_standby -> news = true
            :: else
            fi
#endif
        :: else
        fi;
        d_step { others = 0; promoted[me] = false }
    od;
    finished++
}

proctype producer() {
    byte left = FOREIGN;
    do
    :: left > 0 -> left--; d_step { pending++; queued++ }
    :: left == 0 -> break
    od;
    finished++
}

// Looks whether somebody will reap what it has handed over.
inline look() {
#ifndef BUG_submitter_does_not_look
    if
    :: on_standby -> /* lib/standby.hpp: wait-8 */
        if
        :: waiters == 0 -> news = true
        :: else
        fi
    :: else
    fi
#else
    skip
#endif
}

proctype submitter() {
    bool leave_sent;
    do
    :: d_step { queued > 0 -> queued--; foreign_in_kernel++ }; look()
#ifdef VARIANT_closed_at_once
    :: finished == WAITERS + 1 && queued == 0 && !leave_sent ->
#else
    :: finished == WAITERS + 1 && pending == 0 && !leave_sent ->
#endif
        draining = true;
        d_step { leave_completed = true; leave_sent = true };
        look()
    :: leave_sent -> break
    od
}

proctype kernel() {
    do
    :: d_step { own_in_kernel[0] > 0 && MAY_COMPLETE ->
            own_in_kernel[0]--; own_completed[0]++ }
    :: d_step { WAITERS > 1 && own_in_kernel[WAITERS - 1] > 0 ->
            own_in_kernel[WAITERS - 1]--; own_completed[WAITERS - 1]++ }
    :: d_step { foreign_in_kernel > 0 -> foreign_in_kernel--; foreign_completed++ }
    :: leave_seen && pending == 0 -> break
    od
}

proctype poller() {
    bool held;
    bool moved;
    do
    ::
        news = false; // reads the epoch
        moved = false;
        do
        :: d_step { foreign > 0 -> foreign--; pending--; called_back = true; moved = true } // its callback
        :: count_down(0)
        :: WAITERS > 1 && own_foreign[WAITERS - 1] > 0 -> count_down(WAITERS - 1)
        :: for_the_poller == 0 -> break
        od;
        if
        :: held
        :: !held -> take(held)
        fi;
        if
        :: held ->
            if
            :: completions > 0 -> reap(false); moved = true
            :: completions == 0
            fi;
            if
            :: waiters > 0 -> /* lib/poller.hpp: wait-9 */
                held = false;
                release();
                promote()
            :: else
            fi
        :: !held
        fi;
        if
        :: moved
        :: !moved && held ->
            if
            :: leave_seen && pending == 0 -> break
#ifndef BUG_sleep_over_foreign_callbacks
            :: for_the_poller > 0 // put there before the role came free; /* lib/poller.hpp: wait-10 */
            :: for_the_poller == 0 && !(leave_seen && pending == 0) ->
#else
            :: else ->
#endif
                (completions > 0) // asleep in the kernel
            fi
        :: !moved && !held ->
            on_standby = true; /* lib/standby.hpp: wait-7 */
            if
#ifndef BUG_standby_without_looking
            :: waiters == 0 && (pending > 0 || draining)
#endif
            :: else -> (news)
            fi;
            on_standby = false
        fi
    od
}

init {
    atomic {
        run waiter(0);
        if
        :: WAITERS > 1 -> run waiter(WAITERS - 1)
        :: else
        fi;
        run producer();
        run submitter();
        run kernel();
        run poller()
    }
}
