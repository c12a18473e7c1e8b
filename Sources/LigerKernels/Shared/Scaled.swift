package import Tile

/// x times a number that is known when a kernel is compiled; 1 costs nothing.
package func scaled(_ x: Tile<Float>, by factor: Float) -> Tile<Float> { factor == 1 ? x : x * factor }
