// SPDX-License-Identifier: MIT
//
// Registered places: a request meets in the kernel what its handle stands for, or is refused; and a
// place that is unregistered is cleared once nobody holds it, whoever comes last.
//
// One place, which is registered and unregistered ROUNDS times. Submitters take it under one of the
// handles, old ones as well; some are refused for another reason and put it back. The poll role
// sees results. With ONE_THREAD the kernel listens to the thread of the poll role alone: others
// leave it an errand, and that thread submits by itself as well.
//
// What is left over in the end, or a request that meets another one's file, is an assertion.

#ifndef ROUNDS
#define ROUNDS 2
#endif
#ifndef SUBMITTERS
#define SUBMITTERS 2
#endif
#ifndef REFUSALS
#define REFUSALS 1
#endif
#ifdef ONE_THREAD
#define OWN 1           // requests of the driving thread
#define USERS 1         // threads that register
#else
#define OWN 0
#define USERS 2
#endif
#define NOTHING 0
#define REQUESTS (SUBMITTERS + OWN)

// The word, the counts, the list of the retired.
byte generation = 1;
byte taken = 0;
byte own_taken = 0;
byte given_back = 0;
bool is_used = false;
bool is_retired = false;
byte retiring = 0;
byte item = NOTHING;    // what was registered; by the generation of its handle
byte in_kernel = NOTHING;

bool mutex = false;
bool missed = false;
bool sweep_sent = false;
bool posted = false;    // the errand

byte handle = NOTHING;  // the newest
byte holders = 0;       // for the proof
byte refusals = REFUSALS;
byte finished = 0;
byte left = REQUESTS;   // not yet refused, nor completed
chan queue = [REQUESTS] of { byte };

// Relaxed loads of two counts, one after the other.
inline sweep_locked(t) {
    if
    :: is_retired ->
        t = taken; /* lib/registered.cpp: reg-1 */
        if
#ifdef BUG_held_places_are_cleared
        :: true ->
#else
#ifdef BUG_own_requests_do_not_count
        :: t == given_back ->
#else
        :: t + own_taken == given_back ->
#endif
#endif
            assert(holders == 0);
            in_kernel = NOTHING;
            is_retired = false;
            item = NOTHING;
            is_used = false;
            retiring--
        :: else
        fi
    :: else
    fi;
    t = 0
}

inline sweep(t) {
#ifndef BUG_refused_sweep_leaves_no_note
    missed = true; /* lib/registered.cpp: reg-2 */
#endif
    do
    ::
#ifdef BUG_each_answer_is_a_note
        missed = true;
#endif
        if
        :: atomic { !mutex -> mutex = true };
            missed = false;
            sweep_locked(t);
            mutex = false;
#ifdef BUG_holder_ignores_the_note
            break
#else
            if
            :: missed
            :: !missed -> break
            fi
#endif
        :: mutex -> break
        fi
    od
}

inline send_sweep(t) {
    if
    :: atomic { !sweep_sent -> sweep_sent = true };
#ifdef ONE_THREAD
        posted = true
#else
        run_errand(t)
#endif
    :: sweep_sent
    fi
}

inline run_errand(t) {
#ifdef BUG_sent_until_it_is_done
    sweep(t);
    sweep_sent = false
#else
    sweep_sent = false; /* lib/registered.hpp: reg-3 */
    sweep(t)
#endif
}

inline look_for_retired(t) {
    if
    :: retiring != 0 -> sweep(t)
    :: else
    fi
}

// Registers, once the place is unused, and unregisters.
proctype owner() {
    byte round = 0;
    byte t;
    byte mine;
    do
    :: round < ROUNDS ->
        // Where the kernel listens; with one thread in the way of an errand. The place is nobody's.
        atomic { (!is_used && !mutex) -> mutex = true };
        assert(in_kernel == NOTHING);
        mine = generation;
        in_kernel = mine;
        item = mine;
        is_used = true;
        handle = mine;
        mutex = false; // and looks for a note, see other()
        // Unregisters.
        atomic { !mutex -> mutex = true };
#ifdef BUG_generation_raised_by_the_sweep
        skip;
#else
        generation++; /* lib/registered.cpp: reg-4 */
#endif
        is_retired = true;
#ifdef BUG_told_before_it_is_counted
        mutex = false;
        if
        :: retiring != 0 -> send_sweep(t)
        :: else
        fi;
        retiring++;
#else
        retiring++;
        mutex = false;
#ifndef BUG_who_unregisters_does_not_look
        if
        :: retiring != 0 -> send_sweep(t) /* lib/registered.cpp: reg-5 */
        :: else
        fi;
#endif
#endif
        round++;
        mine = 0
    :: round == ROUNDS -> break
    od;
    finished++
}

#ifndef ONE_THREAD
// Registers in another place, and holds the mutex meanwhile.
proctype other() {
    byte t;
    handle != NOTHING;
    atomic { !mutex -> mutex = true };
    sweep_locked(t);
    mutex = false;
#ifndef BUG_who_registers_ignores_the_note
    if
    :: missed -> sweep(t) /* lib/registered.cpp: reg-10 */
    :: !missed
    fi;
#endif
    finished++
}
#endif

// Takes the place under the newest handle or the one before, or is refused.
proctype submitter() {
    byte mine;
    byte t;
    bool got = false;
    handle != NOTHING;
    if
    :: mine = handle
    :: handle > 1 -> mine = handle - 1
    fi;
    atomic {
        if
#ifdef BUG_generation_not_compared
        :: true
#else
        :: generation == mine /* lib/registered.cpp: reg-6 */
#endif
            -> taken++; holders++; got = true
        :: generation != mine
        fi
    };
    if
    :: !got -> left--
    :: got ->
        assert(item == mine);
        if
        :: d_step { refusals > 0 -> refusals-- };
            d_step { taken--; holders--; left-- };
#ifndef BUG_put_back_in_silence
            if
            :: retiring != 0 -> send_sweep(t) /* lib/registered.cpp: reg-7 */
            :: else
            fi
#endif
        :: queue!mine
        fi
    fi;
    finished++
}

proctype poll_role() {
    byte r;
    byte t;
#ifdef ONE_THREAD
    byte own = OWN;
#endif
    do
    :: queue?r ->
        // The kernel has begun it, and it completes.
        assert(in_kernel == r);
#ifdef BUG_looks_before_it_counts
        look_for_retired(t);
        skip;
        d_step { given_back++; holders--; left-- };
#else
        d_step { given_back++; holders--; left-- };
#ifndef BUG_who_is_last_does_not_look
        look_for_retired(t); /* lib/registered.cpp: reg-8 */
#endif
#endif
        r = 0
#ifdef ONE_THREAD
    :: posted -> posted = false; run_errand(t)
    :: own > 0 && handle != NOTHING ->
        own--;
        r = handle;
        if
        :: generation == r -> /* lib/registered.cpp: reg-9 */
            d_step { own_taken++; holders++ };
            assert(item == r);
            queue!r
        :: generation != r -> left--
        fi;
        r = 0
#endif
    :: left == 0 && finished == SUBMITTERS + USERS && empty(queue) && !posted && !sweep_sent -> break
    od
}

init {
    byte i = 0;
    atomic {
        run owner();
        run poll_role();
#ifndef ONE_THREAD
        run other();
#endif
        do
        :: i < SUBMITTERS -> run submitter(); i++
        :: else -> break
        od;
        i = 0
    };
    (_nr_pr == 1);
    // Nothing is held, registered or filled any more.
    assert(holders == 0 && !is_used && !is_retired && retiring == 0 && in_kernel == NOTHING)
}
