// SPDX-License-Identifier: MIT
//
// What the user does, and how submissions end.
#include "tests/sim/user.hpp"

#include "tests/sim/failure.hpp"
#include "tests/support/scarce_memory.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <utility>

namespace sim {

using ioengine::Acceptance;
using ioengine::Channel;
using ioengine::ErrorCode;
using ioengine::EventCount;
using ioengine::Fault;

namespace {

constexpr std::uint32_t kFullInRowMax = 4;

}  // namespace

bool User::runnable() const noexcept {
    if (waiting_ != nullptr)
        return !parked_ || !context_.space.announced();
    if (thinks_until_ns_ > world_.now_ns() || pool_.idle() == 0)
        return false;
    if (full_in_row_ >= kFullInRowMax && noticed_when_full_ == oracle_.noticed_count())
        return false;
    return wants_more();
}

void User::act() {
    if (waiting_ != nullptr) {
        parked_ = false;
        submit(*std::exchange(waiting_, nullptr), false);
        return;
    }
    if (context_.gate.closed() && vain_attempts_left_ != 0)
        --vain_attempts_left_;
    if (random_.chance(scene_.thinks_ppm)) {
        constexpr std::uint64_t kLongest[] = {10'000, 500'000, 50'000'000};
        thinks_until_ns_ = world_.now_ns() + random_.below(random_.pick(kLongest));
        return;
    }
    if (random_.chance(10'000)) {
        make_a_mistake();
        return;
    }
    if (random_.chance(scene_.cancels_ppm))
        cancel();
    else if (random_.chance(scene_.registers_ppm))
        places_.act();
    else if (random_.chance(scene_.merges_ppm))
        submit_neighbours();
    else
        submit_new(false);
}

// -- submitting ------------------------------------------------------------------------------

void User::submit_new(bool in_callback) {
    Subject* const subject = think();
    if (subject != nullptr)
        submit(*subject, in_callback);
}

Subject* User::think() {
    Subject* const subject = pool_.take();
    if (subject == nullptr || describe(*subject))
        return subject;
    pool_.give(*subject);
    return nullptr;
}

void User::submit(Subject& subject, bool in_callback) {
    const std::uint32_t seen = context_.space.prepare();
    const Acceptance acceptance = try_submit(subject);
    full_in_row_ = acceptance.code() == ErrorCode::queue_full ? full_in_row_ + 1 : 0;
    noticed_when_full_ = oracle_.noticed_count();
    if (!acceptance)
        refused(subject, acceptance.code(), seen, in_callback);
}

Acceptance User::try_submit(Subject& subject) {
    std::vector<Subject*> alone{&subject};
    return enter(alone, [&] { return entrance_.submit(subject, Channel::automatic); });
}

Acceptance User::try_submit(std::vector<Subject*>& subjects) {
    const std::vector<ioengine::Request*> members(subjects.begin(), subjects.end());
    return enter(subjects, [&] {
        return entrance_.submit_merged(members.data(), members.size(), Channel::automatic);
    });
}

// Now and then there is no memory for a block of the queue, if it needs one.
template <class Submit>
Acceptance User::enter(std::vector<Subject*>& subjects, Submit&& submit) {
    Pushing mine{subjects, places_.are_wrong(*subjects.front()), context_.drives_here()};
    Pushing* const outer = std::exchange(pushing_, &mine);  // a callback may come in between
    const bool scarce = !short_of_memory_ && world_.faults().strikes(Fault::allocation_fails);
    Acceptance acceptance;
    if (scarce) {
        const test::ScarceMemory none(0);
        short_of_memory_ = true;
        acceptance = submit();
        short_of_memory_ = false;
        if (acceptance.code() == ErrorCode::no_memory)
            world_.faults().note(Fault::allocation_fails);
    } else {
        acceptance = submit();
    }
    if (mine.is_wrong && acceptance.code() != ErrorCode::shutting_down &&
        acceptance.code() != ErrorCode::invalid_argument)
        fail("a request names what is not registered, and is not refused: code %d",
             static_cast<int>(acceptance.code()));
    subjects.front()->refused_rightly = mine.is_wrong;
    if (acceptance)
        push_succeeded();
    if (acceptance)
        known_[known_count_++ % known_.size()] = {acceptance.handle(), mine.number};
    pushing_ = outer;
    return acceptance;
}

void User::submit_own(ioengine::SimRandom& random, std::uint32_t& word, std::uint32_t& staged,
                      std::vector<Subject*>& mine) {
    Subject* const subject = think();
    if (subject == nullptr)
        return;
    const bool silent = random.coin();
    if (silent) {
        subject->complete = nullptr;
        subject->flags = subject->asked_flags;  // nobody to be told early
    }
    const bool is_wrong = places_.are_wrong(*subject);
    if (const Acceptance acceptance =
            entrance_.submit_counted(*subject, Channel::automatic, word, &staged);
        !acceptance || is_wrong) {
        if (acceptance || (acceptance.code() == ErrorCode::invalid_argument && !is_wrong))
            fail("a request that names registered ones is answered with code %d",
                 static_cast<int>(acceptance.code()));
        forget(*subject);
        return;
    }
    oracle_.accepted(*subject, context_.drives_here(), silent);
    if (silent)
        mine.push_back(subject);
}

void User::cancel() {
    auto order = std::make_unique<ioengine::CancelOrder>();
    using Kind = ioengine::CancelOrder::Kind;
    order->kind = random_.chance(20'000)    ? Kind::all
                  : random_.chance(100'000) ? Kind::file
                                            : Kind::one;
    std::uint64_t wanted = 0;
    if (order->kind == Kind::file) {
        order->fd = any_file().fd;
    } else if (order->kind == Kind::one) {
        if (known_count_ == 0)
            return;
        const Known& known = known_[random_.below(std::min<std::uint64_t>(known_count_, 8))];
        order->one = known.handle;
        wanted = known.number;
    }
    for (std::size_t i = 0; i < pool_.size(); ++i) {
        Subject& subject = pool_.at(i);
        if (subject.state == Subject::State::engine &&
            (order->kind == Kind::one    ? subject.number == wanted
             : order->kind == Kind::file ? subject.file == order->fd
                                         : true))
            oracle_.ordered(subject);
    }
    history_.add(Event::ordered, wanted, static_cast<std::int64_t>(order->kind), order->fd);
    context_.cancel(std::move(order));
}

void User::submit_neighbours() {
    std::vector<Subject*> subjects;
    std::uint64_t wanted = random_.chance(50'000) ? ioengine::kMergeMax : random_.between(2, 6);
    while (subjects.size() < wanted) {
        Subject* const subject = pool_.take();
        if (subject == nullptr)
            break;
        begin_description(*subject);
        if (subjects.empty() ? !describe_transfer(*subject, random_.coin(), false)
                             : !describe_neighbour(*subject)) {
            pool_.give(*subject);
            break;
        }
        prepare(*subject);
        subjects.push_back(subject);
        subject->in_company = true;
        if (!ioengine::can_be_merged(*subject) || (subjects.size() == 1 && subject->misaligned))
            wanted = 1;
    }
    if (subjects.empty())
        return;
    const Acceptance acceptance = try_submit(subjects);
    if (acceptance)
        return;
    if (acceptance.code() != ErrorCode::shutting_down &&
        acceptance.code() != ErrorCode::queue_full && acceptance.code() != ErrorCode::no_memory &&
        !(acceptance.code() == ErrorCode::invalid_argument && subjects.front()->refused_rightly))
        fail("requests that go as one are refused with code %d",
             static_cast<int>(acceptance.code()));
    // They are the user's again, each by itself.
    const bool tries_one = random_.coin();
    for (Subject* const subject : subjects)
        if (!tries_one || subject != subjects.front())
            forget(*subject);
    if (tries_one) {
        subjects.front()->in_company = false;
        submit(*subjects.front(), false);
    }
}

void User::refused(Subject& subject, ErrorCode code, std::uint32_t seen, bool in_callback) {
    history_.add(Event::refused, 0, static_cast<std::int64_t>(code));
    switch (code) {
    case ErrorCode::shutting_down:
        if (!context_.gate.closed())
            fail("a submission is refused for a shutdown that has not begun");
        break;
    case ErrorCode::queue_full: {
        Channel channel = subject.channel;
        if (channel == Channel::automatic)
            channel = ioengine::is_read(subject.asked) ? Channel::read : Channel::write;
        if (oracle_.room(channel))
            fail("a submission is refused as queue_full, but its queue has room");
        if (!in_callback && waiting_ == nullptr && random_.chance(scene_.waits_ppm)) {
            waiting_ = &subject;
            parked_ = context_.space.announce(seen, EventCount::Wants::anything);
            history_.add(Event::waits_for_space, 0, parked_);
            return;
        }
        break;
    }
    case ErrorCode::no_memory:
        break;  // looked at in push()
    case ErrorCode::invalid_argument:
        if (!subject.refused_rightly)
            fail("a well-formed request is refused as invalid");
        break;
    default:
        fail("a well-formed request is refused with code %d", static_cast<int>(code));
    }
    forget(subject);
}

// -- mistakes --------------------------------------------------------------------------------

void User::make_a_mistake() {
    if (random_.coin())
        submit_twice();
    else
        submit_nonsense();
}

// A request that the engine holds must be refused, and not be harmed by that.
void User::submit_twice() {
    const std::size_t begin = random_.below(pool_.size());
    for (std::size_t i = 0; i < pool_.size(); ++i) {
        Subject& subject = pool_.at((begin + i) % pool_.size());
        if (subject.state != Subject::State::engine || subject.handed_out || subject.is_silent)
            continue;
        if (try_submit(subject).code() != ErrorCode::invalid_argument)
            fail("request #%llu is submitted twice and not refused",
                 static_cast<unsigned long long>(subject.number));
        return;
    }
}

void User::submit_nonsense() {
    Subject* const subject = pool_.take();
    if (subject == nullptr)
        return;
    subject->complete = &User::complete;
    subject->user_of_it = this;
    unsigned char byte = 0;
    switch (random_.below(6)) {
    case 0:
        break;  // no action
    case 1:
        subject->prepare_read(-1, &byte, 1, 0);
        break;
    case 2:
        subject->prepare_read(any_file().fd, nullptr, 1, 0);
        break;
    case 3:
        subject->prepare_write(any_file().fd, &byte, 1, UINT64_MAX - 5);
        break;
    case 4:
        subject->prepare_read(any_file().fd, &byte, 1, 0);
        subject->flags = ioengine::kFlagAppend;
        break;
    default:
        subject->prepare_fsync(any_file().fd);
        subject->flags = ioengine::kFlagNowait;
        break;
    }
    if (try_submit(*subject).code() != ErrorCode::invalid_argument)
        fail("a request that makes no sense is not refused");
    pool_.give(*subject);
}

// -- as a forked child ------------------------------------------------------------------------

void User::act_as_child() {
    const auto refused = [](const Acceptance& acceptance) {
        if (acceptance.code() != ErrorCode::forked)
            fail("a forked child's submission is answered with code %d",
                 static_cast<int>(acceptance.code()));
    };
    ioengine::Stats before;
    context_.read_stats(before);
    unsigned char bytes[2] = {};
    std::array<ioengine::Request, 2> fresh;
    std::array<ioengine::Request*, 2> members{};
    for (std::size_t i = 0; i < fresh.size(); ++i) {
        fresh[i].prepare_read(any_file().fd, &bytes[i], 1, i);
        fresh[i].complete = [](ioengine::Request*) noexcept { fail("a child is called back"); };
        members[i] = &fresh[i];
    }
    std::uint32_t countdown = 0;
    std::uint32_t staged = 0;
    refused(entrance_.submit(fresh[0], Channel::automatic));
    refused(entrance_.submit_counted(fresh[0], Channel::automatic, countdown, &staged));
    refused(entrance_.submit_merged(members.data(), members.size(), Channel::automatic));
    refused(entrance_.gather(fresh[0], Channel::automatic));
    for (std::size_t i = 0; i < pool_.size(); ++i)
        if (pool_.at(i).state == Subject::State::engine)
            refused(entrance_.submit(pool_.at(i), Channel::automatic));
    ioengine::Stats after;
    context_.read_stats(after);
    if (countdown != 0 || staged != 0 || after.accepted != before.accepted)
        fail("a forked child's submission was counted");
}

// -- callbacks -------------------------------------------------------------------------------

void User::complete(ioengine::Request* request) noexcept {
    auto& subject = static_cast<Subject&>(*request);
    static_cast<User*>(subject.user_of_it)->on_notice(subject);
}

void User::on_notice(Subject& subject) {
    const bool early = (subject.flags & ioengine::kFlagEarlyResult) != 0;
    if (early && subject.notice() == ioengine::Notice::result) {
        oracle_.told(subject);
        world_.seam();
        return;
    }
    oracle_.notice(subject);
    const std::uint64_t token = subject.entered ? subject.token : 0;
    world_.seam();
    // Its slot is free, or somebody else's, so its completion means nothing any more.
    if (token != 0 && world_.faults().strikes(Fault::stale)) {
        constexpr std::int64_t kResults[] = {0, 512, 4096, -EIO, -ECANCELED};
        history_.add(Event::stale, token);
        world_.repeat_stale({token, random_.pick(kResults)});
    }
    if (random_.chance(scene_.cancels_ppm / 4))
        cancel();
    const bool submits = random_.chance(scene_.callback_submits_ppm) && !is_satisfied();
    if (submits && random_.coin()) {
        // The same one again, right here.
        subject.forget_way();
        if (describe(subject))
            submit(subject, true);
        else
            pool_.give(subject);
    } else {
        pool_.give(subject);
        if (submits)
            submit_new(true);
    }
    world_.seam();
}

}  // namespace sim
