// The choice of products, made once for a process. JavaScript has checked the variable's value (lib/torch/native.ts).

#include "product_kind.h"

#include "processor.h"
#include "products/integer/fixed_point_product.h"
#include "products/packed/packed_product.h"

#include <torch/library.h>

#include <cstdlib>
#include <string>
#include <vector>

namespace qwen_pt {

namespace {

const std::string& wanted() {
  static const std::string word = [] {
    const char* value = std::getenv("QWEN_PT_PRODUCTS");
    return std::string(value == nullptr ? "" : value);
  }();
  return word;
}

const char* nameOf(ProductKind kind) {
  switch (kind) {
    case ProductKind::packed: return "packed";
    case ProductKind::panels: return "panels";
    case ProductKind::int16: return "int16";
    default: return "native";
  }
}

/// [processor, of frozen bfloat16 weights, of frozen float16 weights, of other bfloat16, of other float16].
std::vector<std::string> productKinds() {
  return {processorKind(), nameOf(frozenProductKind(at::kBFloat16)), nameOf(frozenProductKind(at::kHalf)),
          nameOf(productKind(at::kBFloat16)), nameOf(productKind(at::kHalf))};
}

bool hasFixedPointProducts() { return hasFixedPoint(); }
bool hasPackedBfloat16Products() { return hasPackedProducts(); }

}  // namespace

ProductKind productKind(c10::ScalarType dtype) {
  if (dtype != at::kBFloat16 && dtype != at::kHalf) return ProductKind::native;
  if (wanted() == "native") return ProductKind::native;
  if (wanted() == "panels") return ProductKind::panels;
  const bool packs = dtype == at::kBFloat16 && hasPackedProducts();
  if (wanted() == "packed" && packs) return ProductKind::packed;
  if (!multipliesNatively(dtype)) return ProductKind::panels;
  // AMX multiplies in tiles, which oneDNN knows and the kernel here does not
  return packs && processorKind() == "AVX512_BF16" ? ProductKind::packed : ProductKind::native;
}

ProductKind frozenProductKind(c10::ScalarType dtype) {
  const ProductKind kind = productKind(dtype);
  if (dtype != at::kBFloat16 && dtype != at::kHalf) return kind;
  if (wanted() == "int16" && hasFixedPoint()) return ProductKind::int16;
  // AVX-512 without products of integers has float vectors twice as long as AVX2's integers.
  const bool better = kind == ProductKind::panels && wanted().empty() && hasFixedPoint() && processorKind() != "AVX512";
  return better ? ProductKind::int16 : kind;
}

ProductKind productKindNamed(std::string_view name) {
  if (name == "native") return ProductKind::native;
  if (name == "panels") return ProductKind::panels;
  TORCH_CHECK(name == "packed" || name == "int16", "kind must be native, packed, panels or int16, not ", name);
  TORCH_CHECK(name != "packed" || hasPackedProducts(), "packed products need AVX512_BF16");
  TORCH_CHECK(name != "int16" || hasFixedPoint(), "int16 products need AVX2, or AVX-512 with VNNI");
  return name == "packed" ? ProductKind::packed : ProductKind::int16;
}

TORCH_LIBRARY_FRAGMENT(qwen_pt, library) {
  library.def("product_kinds() -> str[]", productKinds);
  library.def("has_fixed_point_products() -> bool", hasFixedPointProducts);
  library.def("has_packed_products() -> bool", hasPackedBfloat16Products);
}

}  // namespace qwen_pt
