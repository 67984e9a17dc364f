// What is answered: item_view looks at one item, item owns one, results owns many.
#ifndef BMEMC_ITEM_HPP
#define BMEMC_ITEM_HPP

#include "result.hpp"

#include <memory>

namespace bmemc {
inline namespace BMEMC_HPP_NAMESPACE {

/// What a value is, for the client's codec.
enum class value_type : std::uint32_t {
    bytes = BMEMC_TYPE_BYTES,
    text = BMEMC_TYPE_TEXT,
    integer = BMEMC_TYPE_INTEGER,
    long_integer = BMEMC_TYPE_LONG,
    object = BMEMC_TYPE_OBJECT,
};

/// Looks at one answer; what it shows lives as long as the item, the results or the callback that it came from.
class item_view {
  public:
    explicit item_view(const bmemc_item &item) noexcept : item_(&item) {}

    bmemc::status status() const noexcept { return static_cast<bmemc::status>(item_->status); }
    /// Done; for a read, a hit.
    bool ok() const noexcept { return item_->status == BMEMC_OK; }
    /// It failed; a miss is no failure.
    bool failed() const noexcept { return item_->status < 0; }
    /// Why, where it failed.
    bmemc::error error() const {
        return bmemc::error(status(), item_->os_error, item_->bits, std::string(detail()));
    }

    std::string_view key() const noexcept { return view(item_->key); }
    std::string_view value() const noexcept { return view(item_->value); }
#if defined(__cpp_lib_span)
    /// The same as bytes.
    std::span<const std::byte> value_bytes() const noexcept { return std::as_bytes(std::span(value())); }
#endif
    /// The server's own words.
    std::string_view detail() const noexcept { return view(item_->detail); }
    /// The flags that it was stored with.
    std::uint32_t flags() const noexcept { return item_->flags; }
    bmemc::value_type type() const noexcept { return static_cast<bmemc::value_type>(item_->value_type); }
    /// Its version; zero where it was not asked for.
    std::uint64_t cas() const noexcept { return item_->cas; }
    /// The counter after increment or decrement.
    std::uint64_t number() const noexcept { return item_->number; }
    /// Seconds left, -1 for ever; zero where it was not asked for.
    std::int64_t ttl() const noexcept { return item_->ttl; }
    /// Meta protocol and dumps: seconds since it was last read, whether it was read, its size; where asked for.
    std::uint32_t last_access() const noexcept { return item_->last_access; }
    bool fetched() const noexcept { return item_->fetched != 0; }
    std::uint32_t size() const noexcept { return item_->size; }
    /// Index of the server that answered.
    std::uint32_t server() const noexcept { return item_->server; }
    /// Of bmemc_bit.
    std::uint32_t bits() const noexcept { return item_->bits; }
    /// Meta protocol: the item is stale.
    bool stale() const noexcept { return (item_->bits & BMEMC_BIT_STALE) != 0; }
    /// Meta protocol: this caller won the right to refill the item.
    bool won() const noexcept { return (item_->bits & BMEMC_BIT_WIN) != 0; }
    /// Meta protocol: another caller has won it.
    bool won_by_other() const noexcept { return (item_->bits & BMEMC_BIT_WON_BY_OTHER) != 0; }
    /// Several servers were asked, and their answers were not the same; this is the one that counts.
    bool partly() const noexcept { return (item_->bits & BMEMC_BIT_PARTLY) != 0; }
    /// Everything, as bmemc.h has it.
    const bmemc_item &raw() const noexcept { return *item_; }

  private:
    const bmemc_item *item_;
};

namespace detail {

struct free_value {
    void operator()(bmemc_value *value) const noexcept { bmemc_value_free(value); }
};

struct free_results {
    void operator()(bmemc_results *results) const noexcept { bmemc_results_free(results); }
};

inline const bmemc_item &first_of(const bmemc_results *results) noexcept {
    std::size_t count;
    return *bmemc_results_items(results, &count);
}

} // namespace detail

/// Owns one answer.
class item : public item_view {
  public:
    /// Takes over a value of bmemc.h, which must not be NULL.
    explicit item(bmemc_value *value) noexcept : item_view(*bmemc_value_item(value)), value_(value) {}

    /// Takes over results of bmemc.h that have one item.
    explicit item(bmemc_results *results) noexcept : item_view(detail::first_of(results)), results_(results) {}

  private:
    std::unique_ptr<bmemc_value, detail::free_value> value_;
    std::unique_ptr<bmemc_results, detail::free_results> results_;
};

/// Owns many answers, in the order of what was asked: answer i is that of operation i.
class results {
  public:
    /// Walks over item_views, any way.
    class iterator {
      public:
        using iterator_category = std::random_access_iterator_tag;
        using value_type = item_view;
        using difference_type = std::ptrdiff_t;
        using pointer = const item_view *;
        using reference = item_view;

        iterator() noexcept = default;
        explicit iterator(const bmemc_item *at) noexcept : at_(at) {}
        item_view operator*() const noexcept { return item_view(*at_); }
        item_view operator[](difference_type n) const noexcept { return item_view(at_[n]); }
        iterator &operator++() noexcept { return ++at_, *this; }
        iterator operator++(int) noexcept { return iterator(at_++); }
        iterator &operator--() noexcept { return --at_, *this; }
        iterator operator--(int) noexcept { return iterator(at_--); }
        iterator &operator+=(difference_type n) noexcept { return at_ += n, *this; }
        iterator &operator-=(difference_type n) noexcept { return at_ -= n, *this; }
        friend iterator operator+(iterator a, difference_type n) noexcept { return a += n; }
        friend iterator operator+(difference_type n, iterator a) noexcept { return a += n; }
        friend iterator operator-(iterator a, difference_type n) noexcept { return a -= n; }
        friend difference_type operator-(iterator a, iterator b) noexcept { return a.at_ - b.at_; }
        friend bool operator==(iterator a, iterator b) noexcept { return a.at_ == b.at_; }
        friend bool operator!=(iterator a, iterator b) noexcept { return a.at_ != b.at_; }
        friend bool operator<(iterator a, iterator b) noexcept { return a.at_ < b.at_; }
        friend bool operator>(iterator a, iterator b) noexcept { return b < a; }
        friend bool operator<=(iterator a, iterator b) noexcept { return !(b < a); }
        friend bool operator>=(iterator a, iterator b) noexcept { return !(a < b); }

      private:
        const bmemc_item *at_ = nullptr;
    };

    /// Takes over results of bmemc.h.
    explicit results(bmemc_results *raw) noexcept : raw_(raw) { items_ = bmemc_results_items(raw, &size_); }

    /// What was moved from has no answers.
    results(results &&other) noexcept
        : raw_(std::move(other.raw_)), items_(std::exchange(other.items_, nullptr)), size_(std::exchange(other.size_, 0)) {}
    results &operator=(results &&other) noexcept {
        raw_ = std::move(other.raw_);
        items_ = std::exchange(other.items_, nullptr);
        size_ = std::exchange(other.size_, 0);
        return *this;
    }

    std::size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }
    /// Answer `index`, which must be less than size().
    item_view operator[](std::size_t index) const noexcept { return item_view(items_[index]); }
    iterator begin() const noexcept { return iterator(items_); }
    iterator end() const noexcept { return iterator(items_ + size_); }

    /// The first failure among them, if there is one.
    std::optional<bmemc::error> first_error() const {
        for (item_view item : *this)
            if (item.failed()) return item.error();
        return std::nullopt;
    }

  private:
    std::unique_ptr<bmemc_results, detail::free_results> raw_;
    const bmemc_item *items_ = nullptr;
    std::size_t size_ = 0;
};

} // namespace BMEMC_HPP_NAMESPACE
} // namespace bmemc

#endif // BMEMC_ITEM_HPP
