// SPDX-License-Identifier: MIT
//
// Lending: the poller takes the submit role for a step, after it has delivered, for what callbacks
// left in the queues and for what the slots it freed have room for. Callbacks wake nobody.
//
// One producer of its own thread, a submitter, a poller whose callbacks submit again, a kernel that
// completes in its own time. Every run must end with everything completed: a submitter or a poller
// asleep for good over work is an invalid end state.
//
// The word of the event count is as in parking.pml. A timer is an alternative that can always be
// taken; busy answers are bounded.

#ifndef DEPTH
#define DEPTH 1
#endif
#ifndef FOREIGN
#define FOREIGN 2 // requests of the producer
#endif
#ifndef AGAIN
#define AGAIN 1 // requests of callbacks
#endif
#ifndef BUSY
#define BUSY 1
#endif
#ifndef SHORT
#define SHORT 1
#endif
#ifndef REFUSALS
#define REFUSALS 0
#endif
#define ALL (FOREIGN + AGAIN - to_submit_again)
#define EPOCH 4
#define ANYTHING 1
#define URGENT_ONLY 2
#define FREE 0
#define TAKEN 1
#define NOTED 2

byte word = 0;          // the event count
bool asleep = false;    // the submitter lies in the futex's queue
byte lock = FREE;       // the submit role's
byte holders = 0;
byte queued = 0;
byte slots = DEPTH;     // free ones, on the list from the poll role
byte stash = 0;         // free ones that only the submit role knows
byte ready = 0;         // refused requests, for the poller to deliver
byte continuations = 0;
byte batched = 0;       // the submit role's: in slots, not yet taken by the kernel
byte in_kernel = 0;
byte completed = 0;

byte to_submit_again = AGAIN;
byte busy_answers = BUSY;
byte short_answers = SHORT;
byte bad_answers = REFUSALS;

inline notify(seen, whom) {
    d_step { seen = word; word = word + EPOCH; assert(word < 256 - EPOCH) };
    if
    :: (seen & whom) != 0 ->
        d_step { word = word - word % EPOCH };
        asleep = false
    :: else
    fi;
    seen = 0
}

inline take(got) {
    d_step {
        if
        :: lock == FREE -> lock = TAKEN; got = true; holders++; assert(holders == 1) /* lib/role_lock.hpp: role-1 */
#ifndef BUG_refusal_is_not_noted
        :: else -> lock = NOTED; got = false /* lib/role_lock.hpp: role-2 */
#else
        :: else -> got = false
#endif
        fi
    }
}

inline release(noted) {
    d_step { noted = (lock == NOTED); lock = FREE; holders-- } /* lib/role_lock.hpp: role-3 */
}

// submit_step(). `starved`: it left work behind for want of slots.
inline step(moved, timed, starved, gave_back, room) {
    d_step { moved = false; timed = false; starved = false; gave_back = false };
    if
    :: d_step { continuations > 0 -> continuations--; batched++; moved = true }
    :: continuations == 0
    fi;
    room = slots + stash;
    if
    :: room > 0 ->
        if
        :: d_step { queued > 0 ->
                queued--; batched++; moved = true;
                if
                :: stash > 0 -> stash--
                :: stash == 0 -> slots--
                fi
            }
        :: queued == 0
        fi
    :: room == 0
    fi;
    if
    :: batched > 0 ->
        if
        :: d_step { in_kernel = in_kernel + batched; batched = 0; moved = true }
        :: d_step { busy_answers > 0 -> busy_answers--; moved = false; timed = true }
        :: d_step { bad_answers > 0 ->
                bad_answers--; batched--; stash++; ready++; moved = true; gave_back = true }
        fi
    :: batched == 0
    fi;
    starved = (room == 0 && queued > 0);
    room = 0
}

// A producer that finds the submitter parked takes its role (VARIANT_callers_lend).
proctype producer() {
    byte left = FOREIGN;
    byte seen;
    byte room;
    bool moved, timed, starved, gave_back, got, noted, urgent;
    do
    :: left > 0 ->
        queued++;
        left--;
#ifdef VARIANT_callers_lend
        seen = word & ANYTHING; /* lib/lending.hpp: lend-4 */
        if
        :: seen == 0 -> notify(seen, ANYTHING)
        :: seen != 0 ->
            do
            ::
                take(got);
                if
                :: !got -> break
                :: got -> skip
                fi;
                urgent = (continuations > 0 || batched > 0);
                if
                :: urgent
                :: !urgent ->
                    step(moved, timed, starved, gave_back, room);
#ifdef BUG_caller_keeps_the_timer
                    urgent = gave_back
#else
                    urgent = (timed || gave_back)
#endif
                fi;
                skip;
                release(noted);
                if
                :: urgent -> notify(seen, 3); break
                :: !urgent && noted
                :: !urgent && !noted ->
                    if
                    :: queued > 0 -> notify(seen, ANYTHING)
                    :: queued == 0
                    fi;
                    break
                fi
            od
        fi;
        skip;
        d_step { seen = 0; moved = false; timed = false; starved = false; gave_back = false; got = false; noted = false; urgent = false }
#else
        notify(seen, ANYTHING)
#endif
    :: left == 0 -> break
    od
}

proctype submitter() {
    byte epoch;
    byte wants;
    byte room;
    bool moved, timed, starved, gave_back, got, noted, won;
    do
    ::
        epoch = word;
        if
        :: completed == ALL -> break
        :: else
        fi;
        take(got);
        if
        :: got ->
            step(moved, timed, starved, gave_back, room);
            release(noted);
#ifndef BUG_submitter_ignores_the_note
            moved = moved || noted;
#endif
            noted = false
        :: !got -> moved = false; timed = false; starved = false
        fi;
        if
        :: moved
        :: !moved ->
            wants = ANYTHING;
            if
            :: starved || timed -> wants = URGENT_ONLY
            :: else
            fi;
            d_step {
                won = (word == epoch);
                if
                :: won -> epoch = epoch | wants; word = epoch
                :: else
                fi
            };
            if
#ifdef BUG_slots_not_looked_at_again
            :: won ->
#else
            :: won && !(starved && slots > 0) -> /* lib/submit_step.hpp: lend-1 */
#endif
                d_step {
                    if
                    :: word == epoch -> asleep = true
                    :: else
                    fi
                };
                if
                :: !asleep
                :: timed -> asleep = false
                fi
            :: else
            fi
        fi;
        d_step { epoch = 0; wants = 0; moved = false; timed = false; starved = false; got = false; won = false }
    od
}

proctype poller() {
    byte seen;
    byte room;
    bool moved, timed, starved, gave_back, got, noted, owes, widened;
    do
    :: completed == ALL -> break
    :: in_kernel > 0 || ready > 0 -> // a nudge tells of the second, as in nudge.pml
        // poll_step()
        if
        :: d_step { ready > 0 -> ready--; completed++ }
        :: d_step { in_kernel > 0 -> in_kernel-- };
        if
        :: d_step { short_answers > 0 -> short_answers-- }; continuations++; owes = true
        :: slots++;
            if
            :: d_step { to_submit_again > 0 -> to_submit_again-- }; queued++ // and wakes nobody
            :: true
            fi;
            completed++
        fi
        fi;
        // lend_step()
        do
        ::
            if
            :: owes || queued > 0 -> /* lib/lending.hpp: lend-2 */
                take(got);
                if
                :: !got -> break
                :: got ->
                    owes = false;
                    step(moved, timed, starved, gave_back, room);
                    release(noted);
                    if
#ifdef BUG_borrower_keeps_the_timer
                    :: noted ->
#else
#ifdef BUG_given_back_in_silence
                    :: noted || timed ->
#else
                    :: noted || timed || gave_back ->
#endif
#endif
#ifndef BUG_borrower_ignores_the_note
                        notify(seen, 3) /* lib/lending.hpp: lend-3 */
#else
                        skip
#endif
                    :: else
                    fi;
                    noted = false
                fi;
                if
                :: !moved && (timed || starved) -> break
                :: moved || !(timed || starved)
                fi
            :: !owes && queued == 0 -> moved = false
            fi;
            if
            :: moved
            :: !moved ->
                // Nothing is left to do, and slots may be free: whoever sleeps for slots has to be
                // woken for work from now on.
#ifndef BUG_sleeper_for_slots_kept
                d_step { /* lib/event_count.hpp: park-9 */
                    widened = (word % EPOCH == URGENT_ONLY);
                    if
                    :: widened -> word = word | ANYTHING
                    :: else
                    fi
                };
#endif
                if
#ifndef BUG_not_looked_at_again_after_widening
                :: widened -> widened = false
                :: else -> break
#else
                :: true -> break
#endif
                fi
            fi
        od;
        atomic { moved = false; timed = false; starved = false; got = false; owes = false; widened = false }
    od;
    notify(seen, 3) // it leaves
}

init {
    atomic {
        run producer();
        run submitter();
        run poller()
    }
}
