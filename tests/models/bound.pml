// SPDX-License-Identifier: MIT
//
// Bound: a full queue makes producers wait, and a place that comes free wakes them.
//
// It stands for RequestQueue::push() with Engine::submit_wait(), where every taking announces, and
// for WorkerPool::take() with the workers' loop, where only the taking from a full queue does
// (ONLY_FROM_FULL). Waiting producers, one that tries once and goes away, a consumer. A producer
// that sleeps for good is an invalid end state, an idle consumer is not.

#ifndef LIMIT
#define LIMIT 1
#endif
#define WAITERS 2
#ifndef EACH
#define EACH 2
#endif

byte counted = 0; // what the bound looks at
byte items = 0;   // really in the queue
byte epoch = 0;   // of the event count; see parking.pml

// Takes a place, or sets `refused`.
inline reserve(refused, was) {
#ifdef BUG_count_overshoots
    d_step { was = counted; counted++ };
    if
    :: was < LIMIT -> refused = false
    :: else -> counted--; refused = true
    fi;
#else
    do
    ::
        was = counted;
        if
        :: was >= LIMIT -> refused = true; break
        :: else ->
            if
            :: d_step { counted == was -> counted++ }; refused = false; break
            :: counted != was
            fi
        fi
    od;
#endif
    was = 0
}

proctype waiter() {
    byte left = EACH;
    byte seen;
    byte was;
    bool refused;
    do
    :: left > 0 ->
        seen = epoch;
        reserve(refused, was);
        if
        :: refused -> (epoch != seen)
        :: !refused -> items++; left--
        fi;
        d_step { refused = false; seen = 0 }
    :: left == 0 -> break
    od
}

proctype passer_by() {
    byte was;
    bool refused;
    reserve(refused, was);
    if
    :: refused
    :: !refused -> items++
    fi
}

proctype consumer() {
    byte was;
end_idle:
    do
    :: items > 0 ->
        items--;
        d_step { was = counted; counted-- };
        if
#ifdef ONLY_FROM_FULL
        :: was >= LIMIT -> epoch++
        :: was < LIMIT
#else
        :: true -> epoch++
#endif
        fi;
        was = 0
    od
}

init {
    atomic {
        byte n;
        for (n : 1 .. WAITERS) { run waiter() };
        run passer_by();
        run consumer()
    }
}
