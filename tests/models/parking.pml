// SPDX-License-Identifier: MIT
//
// Parking: the submitter sleeps on one word and misses nothing that concerns it.
//
// Two producers, one submitter, one poller that returns slots or continuations. Every run must end
// with every request submitted and completed: a submitter asleep for good is an invalid end state.
// No statement is marked as progress, so in the second search any cycle at all is an error: a
// submitter that looks again and again without sleeping is one.
//
// word: bit 0 "parked, wake me for work", bit 1 "parked, wake me for slots", urgent news wakes both;
// above them the epoch. Sleepers do not clear their flag when they return. The budgets bound what a
// kernel may do at will.

#ifndef DEPTH
#define DEPTH 1
#endif
#ifndef FIRST
#define FIRST 1 // requests of the first producer
#endif
#ifndef SECOND
#define SECOND 1 // and of the second
#endif
#ifndef BUDGET
#define BUDGET 1
#endif
#ifndef STRAYS
#define STRAYS BUDGET
#endif
#define ALL (FIRST + SECOND)
#define EPOCH 4
#define ANYTHING 1
#define URGENT_ONLY 2
#define SUBMITTER 0
#define WATCHER 1

byte word = 0;          // the event count
bool asleep[2];         // who lies in the futex's queue
byte counted = 0;       // accepted and not yet dequeued, says the counter
byte queued = 0;        // really in the queue
byte slots = DEPTH;     // free ones
byte continuations = 0; // on the list of continuations
byte in_kernel = 0;
byte completed = 0;

byte busy_answers = BUDGET;  // how often the submit call may say EAGAIN
byte bad_answers = BUDGET;   // how often it may refuse a request
byte short_answers = BUDGET; // how often a completion may ask for a continuation
byte strays = STRAYS;        // how often the submitter's sleep may end for no reason

inline notify(seen, whom) {
    d_step { seen = word; word = word + EPOCH; assert(word < 256 - EPOCH) };
    if
    :: (seen & whom) != 0 ->
        d_step { word = word - word % EPOCH }; /* lib/event_count.hpp: park-2 */
        d_step { asleep[SUBMITTER] = false; asleep[WATCHER] = false }
    :: else
    fi;
    seen = 0
}

inline notify_work(seen) {
    notify(seen, ANYTHING) /* lib/event_count.hpp: park-1 */
}
inline notify_slots(seen) {
    notify(seen, URGENT_ONLY) /* lib/event_count.hpp: park-8 */
}
inline notify_urgent(seen) {
    notify(seen, 3) /* lib/event_count.hpp: park-3 */
}

inline park(me, seen, wants, timed, stray) {
    d_step { /* lib/event_count.hpp: park-5 */
#ifdef BUG_parking_by_plain_store
        won = true;
#else
        won = (word == seen);
#endif
        if
        :: won -> seen = seen | wants; word = seen
        :: else
        fi
    };
    if
    :: won ->
        d_step { /* lib/event_count.hpp: park-6 */
            if
#ifdef BUG_sleep_without_comparing
            :: true -> asleep[me] = true
#else
            :: word == seen -> asleep[me] = true
            :: else
#endif
            fi
        };
        if
        :: !asleep[me]
        :: timed -> asleep[me] = false
        :: d_step { stray && strays > 0 && asleep[me] -> strays--; asleep[me] = false }
        fi
    :: else
    fi;
    won = false
}

proctype producer(byte left) {
    byte seen;
    do
    :: left > 0 ->
        counted++; /* lib/request_queue.hpp: park-7 */
#ifdef BUG_notify_before_enqueue
        notify_work(seen);
        queued++;
#else
        queued++;
        notify_work(seen);
#endif
        left--
    :: else -> break
    od
}

proctype submitter() {
    byte epoch;
    byte room;
    byte wants;
    bool won;
    bool timed;
    bool moved;
    byte batched;   // in slots, not yet taken by the kernel
    byte submitted; // what became of it is known
    do
    ::
        epoch = word; /* lib/event_count.hpp: park-4 */
        if
        :: submitted == ALL && completed == ALL -> break
        :: else
        fi;
        if
        :: d_step { continuations > 0 -> continuations--; in_kernel++; moved = true }
        :: continuations == 0
        fi;
        room = slots;
        if
        :: room > 0 ->
            if
            :: d_step { queued > 0 -> queued--; counted--; slots--; batched++; moved = true }
            :: queued == 0
            fi
        :: room == 0
        fi;
        if
        :: batched > 0 ->
            if
            :: d_step { batched--; in_kernel++; submitted++; moved = true }
            :: d_step { busy_answers > 0 ->
                    busy_answers--; wants = URGENT_ONLY; timed = true; moved = false }
            :: d_step { bad_answers > 0 -> bad_answers--; batched--; submitted++; completed++;
#ifndef BUG_refused_slot_is_not_news
                    moved = true;
#endif
                    slots++ }
            fi
        :: batched == 0
        fi;
#ifdef BUG_parking_asks_the_counter
        if
        :: counted > 0 && room > 0 && !timed -> moved = true
        :: else
        fi;
#endif
        if
        :: moved
        :: !moved ->
            if
#ifdef BUG_backlog_waits_for_work
            :: false
#else
#ifdef BUG_slots_counted_again
            :: slots == 0 && counted > 0 -> wants = URGENT_ONLY
#else
            :: room == 0 && counted > 0 -> wants = URGENT_ONLY
#endif
#endif
            :: else ->
                if
                :: wants == 0 -> wants = ANYTHING
                :: else
                fi
            fi;
#ifdef BUG_epoch_loaded_after_looking
            epoch = word;
#endif
            park(SUBMITTER, epoch, wants, timed, true)
        fi;
        d_step { moved = false; timed = false; wants = 0; room = 0; epoch = 0 }
    od
}

proctype poller() {
    byte seen;
    do
    :: completed == ALL -> break
    :: in_kernel > 0 ->
        in_kernel--;
        if
        :: d_step { short_answers > 0 -> short_answers-- };
            continuations++;
#ifdef BUG_continuation_is_not_urgent
            notify_slots(seen)
#else
            notify_urgent(seen)
#endif
        :: slots++;
            completed++;
#ifdef BUG_release_notifies_as_work
            notify_work(seen)
#else
            notify_slots(seen)
#endif
        fi
    od;
    notify_urgent(seen) // it leaves
}

#ifdef TWO_SLEEPERS
// A second thread on the same word, as closers share theirs.
proctype watcher() {
    byte epoch;
    bool won;
    do
    ::
        epoch = word;
        if
        :: completed == ALL -> break
        :: else -> park(WATCHER, epoch, URGENT_ONLY, false, false)
        fi
    od
}
#endif

init {
    atomic {
        run producer(FIRST);
        run producer(SECOND);
        run submitter();
        run poller();
#ifdef TWO_SLEEPERS
        run watcher()
#endif
    }
}
