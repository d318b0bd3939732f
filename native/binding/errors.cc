#include "errors.h"

#include <c10/util/Exception.h>

#include <cstdlib>
#include <new>

namespace qwen_pt {

void throwPending(napi_env env) noexcept {
  bool pending = false;
  if (napi_is_exception_pending(env, &pending) == napi_ok && pending) return;
  const char* debug = std::getenv("QWEN_PT_DEBUG");
  const bool verbose = debug && *debug && *debug != '0';
  const char* code = "ERR_TORCH";
  std::string message;
  try {
    throw;
  } catch (const CodedError& error) {
    code = error.code;
    message = error.message;
  } catch (const c10::OutOfMemoryError& error) {
    code = "ERR_OUT_OF_MEMORY";
    message = error.what_without_backtrace();
  } catch (const c10::NotImplementedError& error) {
    code = "ERR_NOT_IMPLEMENTED";
    message = verbose ? error.what() : error.what_without_backtrace();
  } catch (const c10::IndexError& error) {
    code = "ERR_INDEX";
    message = verbose ? error.what() : error.what_without_backtrace();
  } catch (const c10::Error& error) {
    message = verbose ? error.what() : error.what_without_backtrace();
    if (message.find("can't allocate memory") != std::string::npos) code = "ERR_OUT_OF_MEMORY";
  } catch (const std::bad_alloc&) {
    code = "ERR_OUT_OF_MEMORY";
    message = "out of memory";
  } catch (const std::exception& error) {
    message = error.what();
  } catch (...) {
    message = "an unknown C++ exception";
  }
  napi_throw_error(env, code, message.c_str());
}

}  // namespace qwen_pt
