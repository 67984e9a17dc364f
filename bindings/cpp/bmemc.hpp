// bmemc.hpp: libbmemc for C++17 and newer, header-only over bmemc.h.
//
//   #include <bmemc.hpp>
//
//   auto client = bmemc::client::connect({"127.0.0.1:11211"});
//   if (!client) return complain(client.error().message());
//   auto item = client->get("greeting");            // result<std::optional<item>>
//   if (!item) complain(item.error().message());    // it failed: never a miss
//   else if (!*item) refill();                      // a miss
//   else std::cout << (*item)->value();
//
// - bmemc/result.hpp  status, error, result<T> (std::expected where the compiler has it), bytes_view
// - bmemc/item.hpp    what is answered: item_view, item, results
// - bmemc/op.hpp      one operation with everything it can be told
// - bmemc/options.hpp how a client is to be, with its callbacks
// - bmemc/client.hpp  client, a method for each command
// - bmemc/queue.hpp   queue: operations in, callbacks out, for event loops
// - bmemc/tools.hpp   ring, key_hash, and an embedded server for tests
//
// Nothing throws because of what a server or a network does: failures are results. Only running out of memory, and
// value() of a result that has none, throw (or end the program, where exceptions are off). Every handle is owned by one
// object, moved and never copied, and freed with it. Methods may be called as bmemc.h says of the handle behind them.
#ifndef BMEMC_HPP
#define BMEMC_HPP

#include "bmemc/client.hpp"
#include "bmemc/item.hpp"
#include "bmemc/op.hpp"
#include "bmemc/options.hpp"
#include "bmemc/queue.hpp"
#include "bmemc/result.hpp"
#include "bmemc/tools.hpp"

#endif // BMEMC_HPP
