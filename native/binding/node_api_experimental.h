// Node-API as every file of the binding sees it. Include this, not <node_api.h>.
#pragma once

// Finalizers that run inside the collection itself (instead of after it, which a busy loop never reaches) are an
// experimental part of Node-API.
#ifndef NAPI_EXPERIMENTAL
#define NAPI_EXPERIMENTAL
#endif
#include <node_api.h>
