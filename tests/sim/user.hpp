// SPDX-License-Identifier: MIT
//
// User: the program that embeds the engine, as a state machine. Submits all kinds of requests, from
// its own thread and from callbacks, waits for places in full queues, and makes mistakes.
#pragma once

#include "lib/entrance.hpp"
#include "lib/shared_context.hpp"
#include "tests/sim/contents.hpp"
#include "tests/sim/history.hpp"
#include "tests/sim/oracle.hpp"
#include "tests/sim/places.hpp"
#include "tests/sim/scene.hpp"
#include "tests/sim/subject.hpp"

#include <ioengine/error.hpp>

#include <array>
#include <cstdint>
#include <utility>
#include <vector>

namespace sim {

class User {
  public:
    User(const Scene& scene, ioengine::SimWorld& world, ioengine::IoSharedContext& context,
         ioengine::Entrance& entrance, Contents& contents, Places& places, Oracle& oracle,
         SubjectPool& pool, History& history, std::uint64_t seed)
        : scene_(scene), world_(world), context_(context), entrance_(entrance), contents_(contents),
          places_(places), oracle_(oracle), pool_(pool), history_(history), random_(seed) {}

    // Submits until as many requests as this have been accepted, over its whole life.
    void aim_at(std::uint64_t accepted) noexcept { aim_ = accepted; }
    bool is_satisfied() const noexcept { return oracle_.accepted_count() >= aim_; }
    // After the gate has closed, as many attempts must be refused.
    void keep_trying(std::uint64_t attempts) noexcept { vain_attempts_left_ = attempts; }

    bool runnable() const noexcept;
    // When it stops thinking, if it does; else in the past.
    std::uint64_t thinks_until_ns() const noexcept { return thinks_until_ns_; }
    // Inside a submission that finds no memory: nobody else may run, since theirs would not either.
    bool is_short_of_memory() const noexcept { return short_of_memory_; }
    bool waits_for_space() const noexcept { return waiting_ != nullptr; }
    void act();
    // The life of a child that a fork leaves behind: all is refused, and nobody hears of it.
    void act_as_child();

    // What it is submitting is in its queue, and will be handed over before push() returns.
    void push_succeeded() {
        if (pushing_ == nullptr || pushing_->number != 0)
            return;
        for (Subject* const subject : pushing_->subjects)
            oracle_.accepted(*subject, pushing_->drivers);
        pushing_->number = pushing_->subjects.front()->number;
    }

    // -- for threads that wait ---------------------------------------------------------------

    // As long as it would submit, too.
    bool wants_more() const noexcept {
        return context_.gate.closed() ? vain_attempts_left_ != 0 : !is_satisfied();
    }
    // A request that is well described, or null.
    Subject* think();
    // One of a thread's own, counted by `word` until that waits for it; half of them without a
    // completion function, to be noticed by that thread: those go to `mine`.
    void submit_own(ioengine::SimRandom& random, std::uint32_t& word, std::uint32_t& staged,
                    std::vector<Subject*>& mine);
    // It was refused.
    void forget(Subject& subject) {
        contents_.let_go(subject);
        pool_.give(subject);
    }

  private:
    static void complete(ioengine::Request* request) noexcept;
    void on_notice(Subject& subject);

    void submit_new(bool in_callback);
    void submit(Subject& subject, bool in_callback);
    ioengine::Acceptance try_submit(Subject& subject);
    // Right behind each other, to go as one.
    void submit_neighbours();
    ioengine::Acceptance try_submit(std::vector<Subject*>& subjects);
    template <class Submit>
    ioengine::Acceptance enter(std::vector<Subject*>& subjects, Submit&& submit);
    // An order to cancel: what a handle names, perhaps an old one; a descriptor's; all.
    void cancel();
    void refused(Subject& subject, ioengine::ErrorCode code, std::uint32_t seen, bool in_callback);
    void make_a_mistake();
    void submit_twice();
    void submit_nonsense();

    void begin_description(Subject& subject);
    // False if no range could be had.
    bool describe(Subject& subject);
    bool describe_transfer(Subject& subject, bool writes, bool vectored);
    // Right behind the last one, and like it. False if it must not be.
    bool describe_neighbour(Subject& subject);
    bool describe_append(Subject& subject);
    bool describe_allocate(Subject& subject);
    void describe_bad_descriptor(Subject& subject);
    void draw_range(Subject& subject, const Contents::File& file);
    void prepare(Subject& subject) noexcept;
    Contents::File& any_file();
    ioengine::Channel any_channel();

    const Scene& scene_;
    ioengine::SimWorld& world_;
    ioengine::IoSharedContext& context_;
    ioengine::Entrance& entrance_;
    Contents& contents_;
    Places& places_;
    Oracle& oracle_;
    SubjectPool& pool_;
    History& history_;
    ioengine::SimRandom random_;

    std::uint64_t aim_ = 0;
    std::uint64_t vain_attempts_left_ = 0;
    std::uint64_t payloads_ = 0;
    std::uint64_t thinks_until_ns_ = 0;
    std::uint32_t full_in_row_ = 0;        // refusals; it gives up for a while after some
    std::uint64_t noticed_when_full_ = 0;  // and goes on after another notice
    Subject* waiting_ = nullptr;           // for a place in its queue
    // Inside push().
    struct Pushing {
        std::vector<Subject*>& subjects;
        bool is_wrong;             // names what is not registered, and must be refused
        bool drivers;              // on the thread that drives the context
        std::uint64_t number = 0;  // of the first of them, once the oracle has been told
    };
    Pushing* pushing_ = nullptr;
    // Handles that it keeps, and the number of the request that each names.
    struct Known {
        ioengine::RequestHandle handle;
        std::uint64_t number = 0;
    };
    std::array<Known, 8> known_{};
    std::uint64_t known_count_ = 0;
    // The last plain transfer: what can lie right behind it.
    struct Last {
        ioengine::IOAction action = ioengine::IOAction::none;
        int file = -1;
        std::uint64_t end = 0;
        std::uint16_t flags = 0;
        std::uint16_t priority = 0;
        ioengine::Channel channel = ioengine::Channel::automatic;
    } last_;
    bool is_neighbour_ = false;  // what is being described
    bool short_of_memory_ = false;
    bool parked_ = false;  // on the event count of those who wait
    ioengine::Channel waiting_channel_ = ioengine::Channel::automatic;
};

}  // namespace sim
