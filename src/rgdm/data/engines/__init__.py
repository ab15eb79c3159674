"""Formats that are read through engines of xarray in other packages: GRIB and GeoTIFF (the extra ``formats``)."""
